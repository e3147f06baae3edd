"""Whole-binary tests need the binary."""
import pytest
from nibble import BINARY


def pytest_sessionstart():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: tools/build release makes it", returncode=1)

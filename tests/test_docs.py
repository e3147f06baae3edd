"""The documents' commands, run as they stand."""
import os
import re
import subprocess

import pytest
from nibble import BINARY, ROOT


def blocks(name):
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / name).read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all blocks: later ones use what earlier ones made."""
    return tmp_path_factory.mktemp("tutorial")


@pytest.mark.parametrize("number", range(len(blocks("TUTORIAL.md"))))
def test_tutorial(number, folder):
    env = dict(os.environ, NIBBLE_ROOT=str(ROOT), PATH=f"{BINARY.parent}:{os.environ['PATH']}")
    script = "set -e\n" + blocks("TUTORIAL.md")[number]
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    if "--check" in script:
        assert "impossible" in done.stdout and "ended with 1" in done.stdout


def test_the_tutorial_made_what_it_says(folder):
    for made in ("small/nibble.json", "small-gguf/README.md", "out/model/nibble.json", "out/gguf/README.md"):
        assert (folder / made).is_file(), made

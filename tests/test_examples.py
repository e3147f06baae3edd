"""The worked examples on the embedded model, and that their budgets can be missed."""
import os
import subprocess

from nibble import BINARY, ROOT, TALES


def example(name, *args):
    return subprocess.run([ROOT / "examples" / name / "run", *map(str, args)], capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, NIBBLE=str(BINARY)))


def test_drone():
    done = example("drone", TALES, TALES / "held_out.txt", 5000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1000 steps" in done.stdout and "in the loop 0 allocations, 0 page faults" in done.stdout


def test_drone_misses_a_budget():
    done = example("drone", TALES, TALES / "held_out.txt", .0001)
    assert done.returncode == 1 and "misses the budget" in done.stderr


def test_summarizer():
    done = example("summarizer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FULLY_CONNECTED" in done.stdout or "problems for edgetpu" in done.stdout


def test_summarizer_misses_a_budget():
    done = example("summarizer", TALES, TALES / "held_out.txt", TALES / "calibration.txt", 2)
    assert done.returncode == 1 and "miss the budget" in done.stderr


def test_kiosk_misses_a_budget():
    """All of it runs in .ci/run, which builds the program for ARM."""
    done = example("kiosk", TALES, TALES / "held_out.txt", TALES / "calibration.txt", "0.001GB")
    assert done.returncode == 1 and "there are 0.001 GB" in done.stderr

"""What every format's check needs: nibble as a user runs it, windows of tokens, a row of the table."""
import dataclasses
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("NIBBLE", ROOT / "build/release/nibble")
TALES = ROOT / "models/tales-3.7m"
GOLDEN = ROOT.parent / "shared/models/golden"  # random weights; a family is left out where it is not there


@dataclasses.dataclass
class Row:
    kind: str
    result: str        # what the consumer did with it
    passed: bool
    difference: float | None = None
    allowed: float | None = None


def nibble(*args):
    """Runs nibble -> what it printed; a failure is an error with nibble's own last line."""
    done = subprocess.run([BINARY, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def windows(count=3, length=64):
    """A few windows of held-out text, as token ids: begin-of-text and what follows."""
    ids = json.loads(nibble("tokenize", TALES, "-f", TALES / "held_out.txt", "--no-special",
                            "--json"))["ids"]
    step = len(ids) // count
    return [[0, *ids[i * step:i * step + length - 1]] for i in range(count)]

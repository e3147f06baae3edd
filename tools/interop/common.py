"""What every format's check needs: nibble as a user runs it, the models, windows of tokens, a row of the table."""
import atexit
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import make_family_models

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("NIBBLE", ROOT / "build/release/nibble")
TALES = ROOT / "models/tales-3.7m"
GOLDEN = ROOT.parent / "shared/models/golden"  # random weights; a family is left out where it is not there
BLOOM = GOLDEN.parent / "tales-bloom-2m"       # trained, and left out likewise

# Format or format:flavour (and the scheme, where it is that), folder: nibble's reason why there is no such file. A row
# that meets another refusal fails, and so does one that meets none.
REFUSALS = {
    ("bitsandbytes", "qwen3-moe"):
        "bitsandbytes has linears, and transformers keeps the experts of qwen3_moe in one tensor",
    ("compressed-tensors w4g128-asym", "qwen3-moe"):
        "is an expert of w4g128-asym, which it does not join with the others",
    ("compressed-tensors w8-asym", "qwen3-moe"):
        "is an expert of w8-asym, which it does not join with the others",
    ("compressed-tensors:int-quantized", "qwen3-moe"):
        "is an expert of w8, which it does not join with the others",
    ("onnx:int8-dynamic", "qwen3-moe"): "int8-dynamic cannot hold a mixture of experts",
    ("ort-genai:int8-dynamic", "qwen3-moe"): "int8-dynamic cannot hold a mixture of experts",
    ("tensorrt", "qwen3-moe"): "TensorRT has no sum over scattered tokens, which a mixture of experts needs",
}


@dataclasses.dataclass
class Place:
    """Where a row stands in the table of all formats (table.py)."""
    target: str   # as export was asked for it
    scheme: str
    family: str   # the model's folder
    consumer: str


@dataclasses.dataclass
class Seen:
    """What it says there: of the consumer's logits beside nibble's, or in words where none were compared."""
    logits: float | None = None  # the largest difference of any, in standard deviations of nibble's
    kl: float | None = None      # of the consumer's distribution from nibble's
    ratio: float | None = None   # of the consumer's KL to the float model, over that of nibble's own evaluation
    words: str = ""
    flavour: str = ""            # FORMAT:FLAVOUR as nibble.json has it


@dataclasses.dataclass
class Row:
    kind: str
    result: str        # what the consumer did with it
    passed: bool
    difference: float | None = None
    allowed: float | None = None
    place: Place | None = None
    seen: Seen | None = None
    skipped: bool = False  # then neither passed nor failed


class Refused(RuntimeError):
    """nibble's own last line."""


def nibble(*args):
    """Runs nibble -> what it printed."""
    done = subprocess.run([BINARY, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode != 0:
        raise Refused(done.stderr.strip().splitlines()[-1])
    return done.stdout


@functools.cache
def models():
    """What every format writes in all its kinds: the embedded model, the other trained one, and random ones of four
    families, whose rows every grid fits. All have the embedded model's tokens."""
    if os.environ.get("NIBBLE_INTEROP_LIGHT"):
        return [TALES]  # all of them in every kind take longer than CI has
    folder = pathlib.Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return [TALES] + [BLOOM] * BLOOM.is_dir() + make_family_models.make(folder, TALES)


def fitting(scheme, model):
    """Rows of tales-bloom-2m are 192 wide: groups of 64 instead of 128."""
    return scheme.replace("g128", "g64") if model == BLOOM else scheme


def refusal(target, model, scheme=""):
    """-> nibble's words where it must refuse, else None."""
    words = [w for (to, family), w in REFUSALS.items()
             if model.name == family and (to in (target, f"{target} {scheme}") or target.startswith(to + ":"))]
    return words[0] if words else None


def flavour_of(folder):
    """-> FORMAT:FLAVOUR of an exported folder."""
    record = json.loads((folder / "nibble.json").read_text())
    return f"{record['format']}:{record['flavour']}"


def outcome(name, words, check, place=None):
    """check() -> its row. What it raises is a failure, but for nibble's refusal in these words where there are any."""
    try:
        row = check()
    except Exception as error:
        if words and isinstance(error, Refused) and words in str(error):
            return Row(name, f"refused: {words}", True, place=place)
        return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False, place=place)
    if words:
        return Row(name, f"not refused: {words}", False, place=place)
    row.place = place
    return row


@functools.cache
def held_out_ids():
    return json.loads(nibble("tokenize", TALES, "-f", TALES / "held_out.txt", "--no-special", "--json"))["ids"]


def windows(count=3, length=64):
    """A few windows of held-out text, as token ids: begin-of-text and what follows."""
    ids = held_out_ids()
    step = len(ids) // count
    return [[0, *ids[i * step:i * step + length - 1]] for i in range(count)]


def texts_of(model, count=2):
    """Windows of that text, or of the ids that a golden model has, which has no tokenizer."""
    if model.parent == GOLDEN:
        return [[(7 * i + 3 * i * i + 4 * j + 1) % 96 for i in range(48)] for j in range(count)]
    return windows(count)

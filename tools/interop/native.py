"""The native artifact in transformers: what is said to load there must give our logits in float32; of what
only nibble reads, nothing wrong may be given silently. docs/FORMATS.md explains both lists."""
import json
import pathlib
import tempfile

import torch

from interop.common import TALES, Row, nibble, windows
from interop.logits import difference, logits_of_nibble, logits_of_transformers

# Symmetric weights are multiplied out in the type asked for, so that only the order of sums differs.
# With "dequantize" the package does it in the type of the stored scales: one rounding a weight, to 11 bits
# for float16 and to 8 for bfloat16. There float32 scales show that the numbers are read exactly.
EXACT, BY_F16, BY_BF16 = 1e-4, 5e-3, 4e-2
LOADABLE = {
    EXACT: ["w2g64", "w3", "w3g128", "w4", "w4t", "w4g128", "w4g128-full", "w5g32", "w6g128", "w7", "w8",
            "w8t", "w8g128", "w4g128 --method gptq",
            "w4g128 --head w8", "w8 --head w8", "w2g64 --head w4g128", "w8-asym --head w4g128",
            "w8g128-asym --head w3",
            "w4g128 --scale-type bf16", "w4g128 --scale-type f32", "w8 --scale-type bf16",
            "w2g64-asym --scale-type f32", "w3-asym --scale-type f32", "w4g128-asym --scale-type f32",
            "w4t-asym --scale-type f32", "w7g32-asym --scale-type f32", "w8-asym --scale-type f32",
            "w8t-asym --scale-type f32"],
    BY_F16: ["w4g128-asym", "w4-asym --head w4-asym", "w8-asym", "w8t-asym", "w3g128-asym --method gptq"],
    BY_BF16: ["w4g128-asym --scale-type bf16"],
}
ONLY_NIBBLE = ["w4g100", "w4g512", "w8g100", "w4g100-asym", "w8g100-asym", "w4g128-asym --head w8",
               "w8t-asym --head w4", "w4g128 --head w4g100"]


def quantize(kind, folder):
    """Writes the artifact -> its consumers in nibble.json; quantize must have said the same in one line."""
    out = nibble("quantize", TALES, "-o", folder, "--scheme", *kind.split(),
                 "--calibration", TALES / "calibration.txt", "--windows", 16)
    record = json.loads((folder / "nibble.json").read_text())
    reason = record.get("only_nibble_because")
    said = [line.split("nibble only: ")[1] for line in out.splitlines() if "nibble only: " in line]
    if said != [reason] * (record["consumers"] == ["nibble"]):
        raise RuntimeError(f"nibble.json says {reason}, quantize {said}")
    return record["consumers"]


def check_loadable(kind, folder, texts, allowed):
    if "transformers+compressed-tensors" not in quantize(kind, folder):
        return "nibble.json does not name it", False, None
    ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
    theirs, misplaced = logits_of_transformers(folder, texts)
    far = difference(theirs, ours)
    if misplaced:
        return f"without {misplaced[0]}", False, far
    return "yes", far <= allowed, far


def check_only_nibble(kind, folder, texts):
    if quantize(kind, folder) != ["nibble"]:
        return "nibble.json names others", False, None
    ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
    try:
        theirs, _ = logits_of_transformers(folder, texts)
    except Exception as refusal:  # whatever it is, the user is told
        return f"refused ({type(refusal).__name__})", True, None
    far = difference(theirs, ours)
    return "silently", far <= EXACT, far


def row(kind, allowed, check, *args):
    name = kind.replace("--", "")
    with tempfile.TemporaryDirectory() as work:
        try:
            result, passed, far = check(kind, pathlib.Path(work) / "artifact", *args)
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0], False)
    return Row(name, result, passed, far, allowed)


def check():
    texts = windows()
    for allowed, kinds in LOADABLE.items():
        for kind in kinds:
            yield row(kind, allowed, check_loadable, texts, allowed)
    for kind in ONLY_NIBBLE:
        yield row(kind, None, check_only_nibble, texts)

"""Every method on every family: the tiny golden models quantized, run again and compared with rounding."""
import json

import numpy as np
import pytest
from nibble import SHARED, needs_shared, run
from test_golden import GOLDEN, MODELS, arrays, listed

METHODS = ["rtn-mse", "hqq", "rtn-imatrix", "gptq", "gptaq", "awq", "balanced", "best"]
SCHEME = "w4g16-asym"


def logits(model, ids, path):
    run("logits", model, "--ids", ids, "-o", path)
    return arrays(path)["logits"]


def quantize(model, out, method):
    more = [] if method.startswith("rtn") and method != "rtn-imatrix" or method == "hqq" else [
        "--windows", 8, "--window-length", 48]
    if method == "best":
        more += ["--distill-steps", 4]
    return run("quantize", model, "-o", out, "--scheme", SCHEME, "--method", method, *more)


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_methods(model, tmp_path):
    folder = GOLDEN / model
    ids = listed(arrays(folder / "golden.safetensors")["input_ids"])
    true = logits(folder, ids, tmp_path / "float.safetensors")

    def error(method):
        out = tmp_path / method
        quantize(folder, out, method)
        record = json.loads((out / "nibble.json").read_text())
        assert all(t["error"] < .05 for t in record["tensors"]), method
        got = logits(out, ids, tmp_path / f"{method}.safetensors")
        return float(np.sqrt(((got - true) ** 2).mean()) / true.std())

    rounded = error("rtn")
    assert rounded < .5
    for method in METHODS:
        assert error(method) < 1.25 * rounded, method

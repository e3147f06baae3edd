"""Every method and transform on every family: the tiny golden models quantized, run again and compared
with rounding."""
import concurrent.futures
import os

import numpy as np
import pytest
from nibble import SHARED, needs_shared, run, run_json
from test_golden import GOLDEN, MODELS, arrays, listed

WINDOWS = ["--windows", 8, "--window-length", 48]
FEW_WINDOWS = ["--windows", 2, "--window-length", 12]  # of the method that takes many steps
# What quantize is told -> the most error, in that of rounding at the same scheme.
METHODS = {
    "rtn-mse": (["--method", "rtn-mse"], 1.25),
    "hqq": (["--method", "hqq"], 1.25),
    "rtn-imatrix": (["--method", "rtn-imatrix", *WINDOWS], 1.25),
    "gptq": (["--method", "gptq", *WINDOWS], 1.25),
    "gptaq": (["--method", "gptaq", *WINDOWS], 1.25),
    "awq": (["--method", "awq", *WINDOWS], 1.25),
    "balanced": (["--method", "balanced", *WINDOWS], 1.25),
    "autoround": (["--method", "autoround", *FEW_WINDOWS], 1.25),
    "best": (["--method", "best", "--distill-steps", 4, *WINDOWS], 1.25),
    "smoothquant": (["--method", "rtn", "--transforms", "smoothquant", *WINDOWS], 1.5),
    "awq-transform": (["--method", "gptq", "--transforms", "awq", *WINDOWS], 1.25),
    "bias-correction": (["--method", "rtn", "--transforms", "bias-correction", *WINDOWS], 1.25),
}
# Of sparse methods half of the weights are gone: what rounding costs is no measure of that.
SPARSE = ["sparsegpt", "wanda"]
# Those that rotate takes: RMS norms that fold into the linears behind them.
ROTATED = {"gemma", "granite", "llama", "llama-bias", "llama3-rope", "mistral-window", "qwen2", "qwen2-yarn", "qwen3",
           "smollm3"}


class Family:
    def __init__(self, name, folder):
        self.source, self.folder = GOLDEN / name, folder
        self.ids = listed(arrays(self.source / "golden.safetensors")["input_ids"])
        self.reports = {}
        self.true = self.logits(self.source, "float")
        self.experts = "expert" in (self.source / "config.json").read_text()

    def logits(self, model, name):
        path = self.folder / f"{name}.safetensors"
        run("logits", model, "--ids", self.ids, "-o", path)
        return arrays(path)["logits"]

    def error(self, name, options, scheme="w4g16-asym"):
        """Of the artifact's logits, in the float model's standard deviations."""
        out = self.folder / name
        self.reports[name] = run_json("quantize", self.source, "-o", out, "--scheme", scheme, *options)
        return float(np.sqrt(((self.logits(out, name) - self.true) ** 2).mean()) / self.true.std())


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_methods(model, tmp_path):
    family = Family(model, tmp_path)
    jobs = {"rtn": ["--method", "rtn"]} | {name: options for name, (options, _) in METHODS.items()}
    jobs |= {name: ["--method", name, "--sparsity", "0.5", *WINDOWS] for name in SPARSE}
    # A tiny model keeps one core busy.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        eight = pool.submit(family.error, "llm-int8", ["--method", "llm-int8", *WINDOWS], "w8")
        error = dict(zip(jobs, pool.map(lambda name: family.error(name, jobs[name]), jobs)))
    assert error["rtn"] < .5
    for name, (_, most) in METHODS.items():
        assert error[name] < most * error["rtn"], (name, error)
        assert all(t["error"] < .06 for t in family.reports[name]["tensors"]), name
    # A token that is sent to another expert by a little noise is far off.
    assert eight.result() < (.4 if family.experts else .2) * error["rtn"]
    # Of what each layer puts out, which is what pruning sees; the logits of random weights are left to chance.
    lost = {name: sum(t["error"] for t in family.reports[name]["tensors"]) for name in SPARSE}
    assert lost["sparsegpt"] < lost["wanda"], lost
    for name in SPARSE:
        assert family.reports[name]["sparsity"] > .49


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_rotation(model, tmp_path):
    family = Family(model, tmp_path)
    options = ["--method", "gptq", "--transforms", "rotate", *WINDOWS]
    if model in ROTATED:
        assert family.error("rotated", options) < 1.25 * family.error("rtn", ["--method", "rtn"])
    else:
        done = run("quantize", family.source, "-o", tmp_path / "out", "--scheme", "w4g16-asym", *options, code=1)
        assert "rotate does not apply to" in done.stderr and not (tmp_path / "out").exists()


@needs_shared
@pytest.mark.parametrize("model", ["mixtral", "qwen3-moe"])
def test_experts_that_no_token_reaches(model, tmp_path):
    family = Family(model, tmp_path)
    assert family.error("gptq", ["--method", "gptq", "--windows", 1, "--window-length", 2]) < .5
    notes = [note for note in family.reports["gptq"]["notes"] if "no calibration token reached" in note]
    assert notes and all("expert" in note and "rounded to nearest" in note for note in notes)

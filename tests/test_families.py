"""Every method and transform on every family: the tiny golden models quantized, run again and compared
with rounding."""
import concurrent.futures
import functools
import os
import pathlib
import tempfile

import numpy as np
import pytest
from nibble import SHARED, needs_shared, run, run_json
from test_golden import GOLDEN, MODELS, arrays, listed

# With a quarter of these tokens, or one text of 48 to judge by, a pair in ten is above rounding by chance.
WINDOWS = ["--windows", 32, "--window-length", 48]
TEXTS = 4  # the golden one and random ids of the same length
# What quantize is told, of methods whose logits must err less than rounding's on every family.
CALIBRATED = {
    "rtn-imatrix": ["--method", "rtn-imatrix", *WINDOWS],
    "gptq": ["--method", "gptq", *WINDOWS],
    "gptaq": ["--method", "gptaq", *WINDOWS],
    "awq": ["--method", "awq", *WINDOWS],
    "balanced": ["--method", "balanced", *WINDOWS],
    "autoround": ["--method", "autoround", "--windows", 8, "--window-length", 48],  # it takes many steps
    "best": ["--method", "best", "--distill-steps", 4, *WINDOWS],
    "awq-transform": ["--method", "gptq", "--transforms", "awq", *WINDOWS],
}
# These see weights alone: the weights err less on every family, the logits on the families' average.
DATA_FREE = {"rtn-mse": ["--method", "rtn-mse"], "hqq": ["--method", "hqq"]}
# Transforms that are not there for the rounding of weights -> the most logits' error, in that of rounding.
OTHERS = {
    "smoothquant": (["--method", "rtn", "--transforms", "smoothquant", *WINDOWS], 1.25),
    "bias-correction": (["--method", "rtn", "--transforms", "bias-correction", *WINDOWS], 1.05),
}
# Of sparse methods half of the weights are gone: what rounding costs is no measure of that.
SPARSE = ["sparsegpt", "wanda"]
# Those that rotate takes: RMS norms that fold into the linears behind them.
ROTATED = {"gemma", "granite", "llama", "llama-bias", "llama3-rope", "mistral-window", "qwen2", "qwen2-yarn", "qwen3",
           "smollm3"}


class Family:
    def __init__(self, name, folder):
        self.source, self.folder = GOLDEN / name, pathlib.Path(folder)
        golden = arrays(self.source / "golden.safetensors")
        length, vocab = golden["logits"].shape
        draw = np.random.default_rng(0)
        self.texts = [golden["input_ids"]] + [draw.integers(3, vocab, length) for _ in range(TEXTS - 1)]
        self.reports = {}
        self.true = self.logits(self.source, "float")
        self.experts = "expert" in (self.source / "config.json").read_text()

    def logits(self, model, name):
        path, out = self.folder / f"{name}.safetensors", []
        for ids in self.texts:
            run("logits", model, "--ids", listed(ids), "-o", path)
            out.append(arrays(path)["logits"])
        return np.concatenate(out)

    def error(self, name, options, scheme="w4g16-asym"):
        """Of the artifact's logits, in the float model's standard deviations."""
        out = self.folder / name
        self.reports[name] = run_json("quantize", self.source, "-o", out, "--scheme", scheme, "-t", 1, *options)
        return float(np.sqrt(((self.logits(out, name) - self.true) ** 2).mean()) / self.true.std())

    def lost(self, name):
        """Of what the method works on: each layer's output, or its weights where nothing was calibrated."""
        return sum(t["error"] for t in self.reports[name]["tensors"])


@functools.cache
def measured(model):
    """-> the family's reports, and the logits' errors by name."""
    jobs = {"rtn": ["--method", "rtn"]} | CALIBRATED | DATA_FREE
    jobs |= {name: options for name, (options, _) in OTHERS.items()}
    jobs |= {name: ["--method", name, "--sparsity", "0.5", *WINDOWS] for name in SPARSE}
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        family = Family(model, folder)
        eight = pool.submit(family.error, "llm-int8", ["--method", "llm-int8", *WINDOWS], "w8")
        error = dict(zip(jobs, pool.map(lambda name: family.error(name, jobs[name]), jobs)))
        return family, error | {"llm-int8": eight.result()}


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_methods(model):
    family, error = measured(model)
    assert error["rtn"] < .5
    for name in CALIBRATED:
        assert error[name] < error["rtn"], (name, error)
    for name in DATA_FREE:
        assert family.lost(name) < family.lost("rtn"), name
        assert error[name] < 1.25 * error["rtn"], (name, error)
    for name, (_, most) in OTHERS.items():
        assert error[name] < most * error["rtn"], (name, error)
    for name in CALIBRATED | DATA_FREE | OTHERS:
        assert all(t["error"] < .06 for t in family.reports[name]["tensors"]), name
    # A token that is sent to another expert by a little noise is far off.
    assert error["llm-int8"] < (.4 if family.experts else .2) * error["rtn"]
    # Of what each layer puts out, which is what pruning sees; the logits of random weights are left to chance.
    assert family.lost("sparsegpt") < family.lost("wanda")
    for name in SPARSE:
        assert family.reports[name]["sparsity"] > .49


@needs_shared
@pytest.mark.parametrize("name", DATA_FREE)
def test_without_calibration_logits_err_less_on_average(name):
    errors = [measured(model)[1] for model in MODELS]
    assert np.mean([np.log(e[name] / e["rtn"]) for e in errors]) < 0


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

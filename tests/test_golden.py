"""The forward pass against tiny random models whose answers transformers computed."""
import numpy as np
import pytest
from folders import read_safetensors
from nibble import SHARED, needs_shared, run, run_json

GOLDEN = SHARED / "models/golden"
MODELS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()) if GOLDEN.is_dir() else []
DTYPES = {"F32": "<f4", "I32": "<i4"}


def arrays(path):
    return {name: np.frombuffer(raw, DTYPES[dtype]).reshape(shape)
            for name, (dtype, shape, raw) in read_safetensors(path).items()}


def listed(ids):
    return ",".join(map(str, ids.tolist()))


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_logits_and_hidden_states(model, tmp_path):
    want = arrays(GOLDEN / model / "golden.safetensors")
    run("logits", GOLDEN / model, "--ids", listed(want["input_ids"]), "-o", tmp_path / "l.safetensors",
        "--hidden")
    got = arrays(tmp_path / "l.safetensors")
    for name in ("logits", "hidden_states"):
        assert got[name].shape == want[name].shape
        assert np.abs(got[name] - want[name]).max() < 1e-3 * want[name].std(), name


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_greedy_ids(model):
    want = arrays(GOLDEN / model / "golden.safetensors")
    seen = run_json("run", GOLDEN / model, "--ids", listed(want["greedy_prompt"]), "-n", 24,
                    "--temperature", 0, "--ignore-eos")
    assert seen["ids"] == want["greedy_ids"].tolist()

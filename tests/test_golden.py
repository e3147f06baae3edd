"""The forward pass against tiny random models whose answers transformers computed."""
import json
import shutil

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


@needs_shared
def test_more_tokens_than_the_model_was_made_for(tmp_path):
    """Dynamic rope scaling is for them: of 48 tokens where 16 are usual it is a rotation of a larger base."""
    def logits(name, **changes):
        folder = tmp_path / name
        shutil.copytree(GOLDEN / "llama", folder)
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))
        done = run("logits", folder, "--ids", listed(ids), "-o", tmp_path / "l.safetensors")
        return arrays(tmp_path / "l.safetensors")["logits"], done.stderr
    ids = arrays(GOLDEN / "llama/golden.safetensors")["input_ids"]
    dynamic, said = logits("dynamic", max_position_embeddings=16, rope_scaling={"type": "dynamic", "factor": 4.0})
    assert "made for a context of 16" in said
    theta = 10000 * (4 * len(ids) / 16 - 3) ** (16 / 14)  # transformers' modeling_rope_utils.py; heads of 16
    based, said = logits("based", rope_theta=theta)
    assert np.abs(dynamic - based).max() < 1e-4 * based.std() and "context" not in said
    done = run("logits", GOLDEN / "gpt2", "--ids", ",".join(["1"] * 257), "-o", tmp_path / "l", code=1)
    assert "learned positions" in done.stderr

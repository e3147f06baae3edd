"""The forward pass against tiny random models whose answers transformers computed."""
import json
import shutil

import numpy as np
import pytest
from folders import read_safetensors
from nibble import SHARED, needs_shared, refused, run, run_json

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
def test_beyond_the_context(tmp_path):
    """Dynamic NTK as transformers' _compute_dynamic_ntk_parameters has it: another base, for all positions."""
    count, context, factor = 40, 16, 2.0
    source = GOLDEN / "llama"
    config = json.loads((source / "config.json").read_text())
    head = config["hidden_size"] // config["num_attention_heads"]
    base = 1e4 * (factor * count / context - (factor - 1)) ** (head / (head - 2))
    seen = {}
    for name, rope, limit in (("grown", {"rope_type": "dynamic", "factor": factor, "rope_theta": 1e4}, context),
                              ("other-base", {"rope_type": "default", "rope_theta": base}, 256),
                              ("plain", {"rope_type": "default", "rope_theta": 1e4}, 256)):
        folder = tmp_path / name
        shutil.copytree(source, folder)
        changed = {k: v for k, v in config.items() if k not in ("rope_scaling", "rope_theta")}
        changed |= {"rope_parameters": rope, "max_position_embeddings": limit}
        (folder / "config.json").write_text(json.dumps(changed))
        out = tmp_path / f"{name}.safetensors"
        done = run("logits", folder, "--ids", listed(np.arange(3, 3 + count)), "-o", out)
        assert ("made for a context of 16" in done.stderr) == (limit < count)
        seen[name] = arrays(out)["logits"]
    spread = seen["other-base"].std()
    assert np.abs(seen["grown"] - seen["other-base"]).max() < 1e-4 * spread
    assert np.abs(seen["grown"] - seen["plain"]).max() > 1e-2 * spread


@needs_shared
def test_learned_positions_have_an_end(tmp_path):
    context = json.loads((GOLDEN / "gpt2/config.json").read_text())["n_positions"]
    refused("logits", GOLDEN / "gpt2", "--ids", listed(np.full(context + 1, 5)), "-o", tmp_path / "l.safetensors",
            words=["learned positions", context])

"""nibble inspect: what it says of every family, with weights and from config.json alone."""
import json
import math
import re
import shutil
import struct

import pytest
from folders import read_safetensors, write_safetensors
from nibble import ROOT, TALES, needs_shared, refused, run, run_json
from test_golden import GOLDEN, MODELS

SMOLLM = {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
          "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
          "max_position_embeddings": 8192}


def config_alone(folder, config):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@needs_shared
@pytest.mark.parametrize("model", MODELS)
def test_config_alone_says_the_same(model, tmp_path):
    (tmp_path / "bare").mkdir()
    shutil.copy(GOLDEN / model / "config.json", tmp_path / "bare")
    whole, bare = run_json("inspect", GOLDEN / model, "--tensors"), run_json("inspect", tmp_path / "bare")
    for seen in (whole, bare):
        for misfit in (m for form in seen["forms"] for m in form["skipped"]):
            misfit.pop("example")  # bodies are saved under several names
    for key in ("parameters", "methods", "transforms", "forms", "kv_cache"):
        assert whole[key] == bare[key]
    assert "stored" in whole and "stored" not in bare
    assert whole["parameters"]["total"] == sum(math.prod(t["shape"]) for t in whole["tensors"])
    for kind in ("by_part", "by_role"):
        assert sum(whole["parameters"][kind].values()) == whole["parameters"]["total"]
    assert ("experts" in whole) == ("experts" in whole["parameters"]["by_part"])


def test_shapes_that_do_not_fit(tmp_path):
    seen = run_json("inspect", config_alone(tmp_path / "smol", SMOLLM))
    forms = {f["form"]: f for f in seen["forms"]}
    # Of 7 linears in each of 30 blocks only down_proj reads 1536 inputs, the others 576.
    assert forms["gguf K-quants"]["linears"] == 30
    assert forms["gguf K-quants"]["skipped"] == [{"why": "576 inputs are no multiple of 256", "linears": 180,
                                                  "example": "model.layers.0.self_attn.q_proj"}]
    assert "Q8_0" in forms["gguf K-quants"]["otherwise"]
    assert forms["compressed-tensors g64"]["linears"] == 210 and forms["compressed-tensors g128"]["linears"] == 30
    assert seen["parameters"]["by_part"] == {"embedding": 49152 * 576, "attention": 30 * 576 * (576 + 192 + 192 + 576),
                                             "mlp": 30 * 3 * 576 * 1536, "norms": 61 * 576}
    text = run("inspect", tmp_path / "smol").stdout
    assert "180 whose 576 inputs are no multiple of 256" in text and "from config.json alone" in text


def test_cache_at_a_context(tmp_path):
    folder = config_alone(tmp_path / "smol", SMOLLM)
    seen = run_json("inspect", folder, "--context", 1000, "--cache", "f16")
    # Keys and values of 1000 tokens (1000 is a multiple of what the cache pads to), 2 bytes a number.
    assert seen["kv_cache"]["bytes"]["f16"] == 30 * 2 * 3 * 64 * 1000 * 2
    assert {m["kv_cache_bytes"] for m in seen["memory"]} == {seen["kv_cache"]["bytes"]["f16"]}
    assert run_json("inspect", folder)["kv_cache"]["tokens"] == 8192
    assert run("inspect", folder, "--context", 0, code=2)


@needs_shared
def test_what_applies():
    def told(model, kind):
        seen = run_json("inspect", GOLDEN / model)[kind]
        assert all(a["applies"] or a["note"] for a in seen)
        return {a["name"]: (a["applies"], a["note"]) for a in seen}
    assert set(told("llama", "methods").values()) == {(True, None)}
    experts = told("mixtral", "methods")
    assert experts["rtn"] == (True, None) and "experts" in experts["gptq"][1]
    rotate, note = told("bloom", "transforms")["rotate"]
    assert not rotate and "LayerNorm" in note and told("llama", "transforms")["rotate"] == (True, None)
    assert not told("llama", "transforms")["bias-correction"][0] and told("bloom", "transforms")["bias-correction"][0]
    forms = run_json("inspect", GOLDEN / "opt")["forms"]
    assert any(f["refused"] and f["form"].startswith("gguf") for f in forms)


EXPORTS = re.findall(r"(?m)^X\((\w+)\)", (ROOT / "src/export/exports.inc").read_text())


@needs_shared
@pytest.mark.parametrize("model,scheme,refused_by", [
    ("llama", None, dict.fromkeys(["gptq", "awq", "compressed-tensors", "tensorrt"], "quantize it first")),
    ("llama", "w4g16", {"gptq": "176"}), ("opt", "w8", {"gguf": "no opt", "awq": "8 bits"}),
    ("mixtral", "w4g16", {"bitsandbytes": "experts", "gptq": "176", "tensorrt": "mixture of experts"}),
    ("falcon-alibi", "w2g32", {"gguf": "ALiBi"})])
def test_exports_are_those_that_export_would_write(model, scheme, refused_by, tmp_path):
    folder = GOLDEN / model
    if scheme:
        run("quantize", folder, "-o", tmp_path / "q", "--scheme", scheme, "--method", "rtn")
        folder = tmp_path / "q"
    exports = run_json("inspect", folder)["exports"]
    assert [e["name"].replace("-", "_") for e in exports] == EXPORTS
    for e in exports:
        code = 0 if e["applies"] else 1
        done = run("export", folder, "--to", e["name"], "-o", tmp_path / "out", "--dry-run", code=code)
        if not e["applies"]:
            assert e["note"].split(": ", 1)[-1] in done.stderr
    notes = {e["name"]: e["note"] for e in exports if not e["applies"]}
    assert notes.keys() == refused_by.keys(), notes
    for name, why in refused_by.items():
        assert why in notes[name]
    (tmp_path / "bare").mkdir()
    shutil.copy(folder / "config.json", tmp_path / "bare")
    families = {e["name"]: e["applies"] for e in run_json("inspect", tmp_path / "bare")["exports"]}
    assert families["gguf"] == ("gguf" not in refused_by) and families["bitsandbytes"] == (model != "mixtral")


def test_an_absurd_config_is_refused(tmp_path):
    folder = config_alone(tmp_path / "odd", SMOLLM | {"hidden_size": 1 << 24, "intermediate_size": 1 << 24,
                                                      "num_attention_heads": 1 << 12, "num_key_value_heads": 1 << 12,
                                                      "num_hidden_layers": 9999})
    refused("inspect", folder, words=["parameters"])
    assert run_json("inspect", TALES)["stored"]["tensors"] > 0


def test_exports_are_planned_without_reading_values(tmp_path):
    """inspect promises by shapes and schemes; the scales that export itself refuses it has not seen."""
    def notes(folder):
        return {e["name"]: (e["applies"], e["note"] or "") for e in run_json("inspect", folder)["exports"]}
    for scheme in ("w8", "w4g128-asym", "w4g32"):
        run("quantize", TALES, "-o", tmp_path / scheme, "--scheme", scheme, "--method", "rtn")
    assert notes(tmp_path / "w8")["bitsandbytes"][1].startswith("lossless if none of its codes is -128")
    assert "gptq_v2 if one of its zero points is 0" in notes(tmp_path / "w4g128-asym")["gptq"][1]
    assert notes(tmp_path / "w4g32")["gguf"] == (True, notes(tmp_path / "w4g32")["gguf"][1])
    assert notes(tmp_path / "w4g32")["gguf"][1].startswith("lossless")
    # Scales of another type: exact only if float16 holds them; one that it does not hold shows when export reads it.
    run("quantize", TALES, "-o", tmp_path / "f32", "--scheme", "w4g32", "--method", "rtn", "--scale-type", "f32")
    file, name = tmp_path / "f32/model.safetensors", "model.layers.1.mlp.up_proj.weight_scale"
    tensors = read_safetensors(file)
    dtype, shape, raw = tensors[name]
    tensors[name] = dtype, shape, struct.pack("<f", 1e30) + raw[4:]
    write_safetensors(file, tensors)
    for name in ("gguf", "gptq", "awq"):
        assert "lossless if its scales are float16 numbers" in notes(tmp_path / "f32")[name][1]
    refused("export", tmp_path / "f32", "--to", "gptq", "-o", tmp_path / "out", words=["up_proj", "float16"])

"""Folders that other programs quantized. tests/quantized_linears.json (tools/make_quantized_vectors.py) holds one
linear in each form as the packages write it, and the hash of the values that they make of it."""
import copy
import hashlib
import json

import numpy as np
import pytest
from folders import read_safetensors, write_safetensors
from nibble import ROOT, SHARED, needs_shared, refused, run, run_json

LLAMA = SHARED / "models/golden/llama"
FORMS = json.loads((ROOT / "tests/quantized_linears.json").read_text())
MODULE = "model.layers.0.self_attn.k_proj"
NAMES = {"bnb-nf4-f32": "nf4", "bnb-fp4-f16": "fp4", "bnb-int8": "llm-int8", "gptq-3-sym": "w3g32", "awq": "w4g32-asym",
         "gptq-4-act-order": "w4g32-asym act-order", "fp8-block": "fp8", "mxfp4": "mxfp4", "modelopt-nvfp4": "nvfp4",
         "ct-nvfp4": "nvfp4", "ct-mxfp4": "mxfp4"}

pytestmark = needs_shared


def folder_of(path, form):
    """The golden llama with one linear in that form."""
    path.mkdir()
    tensors = {}
    for shard in sorted(LLAMA.glob("model-*.safetensors")):
        tensors |= read_safetensors(shard)
    del tensors[MODULE + ".weight"]
    tensors |= {MODULE + part: (dtype, shape, bytes.fromhex(data))
                for part, (dtype, shape, data) in form["parts"].items()}
    write_safetensors(path / "model.safetensors", tensors)
    config = json.loads((LLAMA / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"quantization_config": form["config"]}))
    return path


def values(folder, name=MODULE):
    dtype, shape, raw = read_safetensors(folder / "model.safetensors")[name + ".weight"]
    assert dtype == "F32"
    return np.frombuffer(raw, np.float32).reshape(shape)


def rounded(w, dtype):
    """float32 in another type, as bytes."""
    if dtype == "F16":
        return w.astype(np.float16).tobytes()
    if dtype == "BF16":
        u = w.view(np.uint32)
        return ((u + 0x7FFF + (u >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
    return w.tobytes()


def logits(folder, out, activations="float"):
    run("logits", folder, "--ids", "1,5,9,300,17,4,4,250", "-o", out, "--activations", activations)
    _, shape, raw = read_safetensors(out)["logits"]
    return np.frombuffer(raw, np.float32).reshape(shape)


@pytest.mark.parametrize("name", FORMS)
def test_values_are_the_packages(name, tmp_path):
    form = FORMS[name]
    folder = folder_of(tmp_path / "model", form)
    run("dequantize", folder, "-o", tmp_path / "floats", "--dtype", "f32")
    w = values(tmp_path / "floats")
    assert w.shape == (32, 64) and np.abs(w).max() > 0
    assert hashlib.sha256(rounded(w, form["dtype"])).hexdigest() == form["sha256"]
    config = json.loads((tmp_path / "floats/config.json").read_text())
    assert "quantization_config" not in config and config["torch_dtype"] == "float32"
    there, back = logits(folder, tmp_path / "a"), logits(tmp_path / "floats", tmp_path / "b")
    assert np.abs(there - back).max() < 1e-5 * there.std()


@pytest.mark.parametrize("name", NAMES)
def test_inspect_names_the_form(name, tmp_path):
    folder = folder_of(tmp_path / "model", FORMS[name])
    assert run_json("inspect", folder)["stored"]["schemes"] == {NAMES[name]: 1}


@pytest.mark.parametrize("target", ["gptq", "awq", "compressed-tensors"])
def test_what_no_grid_of_integers_holds(target, tmp_path):
    folder = folder_of(tmp_path / "model", FORMS["bnb-nf4-f32"])
    assert run_json("inspect", folder)["stored"]["run_as_floats"] == ["nf4"]
    assert "nf4 is no grid of integers" in run("inspect", folder).stdout
    refused("export", folder, "--to", target, "-o", tmp_path / "out", words=[MODULE, "nf4", "--requantize"])
    whole = folder_of(tmp_path / "whole", FORMS["awq"])
    assert run_json("inspect", whole)["stored"]["run_as_floats"] == []


@pytest.mark.parametrize("name", ["gptq-4-sym", "gptq-8-asym-v1", "awq", "bnb-int8"])
def test_integers_run_on_integer_kernels(name, tmp_path):
    folder = folder_of(tmp_path / "model", FORMS[name])
    seen = run_json("run", folder, "--ids", "1,5,9", "-n", 2, "--temperature", 0)
    assert seen["integer_linears"] == 1
    exact = logits(folder, tmp_path / "a")
    near = logits(folder, tmp_path / "b", "int8")
    assert 0 < np.abs(exact - near).max() < 0.05 * exact.std()


# What is wrong with a folder, and words of the message.
def cut(form, part):
    dtype, shape, data = form["parts"][part]
    form["parts"][part] = [dtype, [shape[0] // 2, *shape[1:]], data[:len(data) // 2]]


def drop(form, part):
    del form["parts"][part]


BROKEN = [(name, spoil, part) for name, parts in {
    "gptq-4-sym": [".qweight", ".qzeros", ".scales", ".g_idx"], "awq": [".qweight", ".qzeros", ".scales"],
    "bnb-int8": [".weight", ".SCB"], "bnb-nf4-double-bf16": [".weight", ".weight.absmax", ".weight.nested_absmax",
                                                             ".weight.quant_map"],
    "ct-w4g32-asym": [".weight_packed", ".weight_scale", ".weight_zero_point"], "fp8-block": [".weight"],
    "ct-nvfp4": [".weight_packed", ".weight_scale"], "mxfp4": ["_blocks", "_scales"]}.items()
    for part in parts for spoil in (cut, drop) if (spoil, part) != (drop, ".g_idx")]


@pytest.mark.parametrize("name,spoil,part", BROKEN)
def test_parts_that_do_not_fit_are_refused(name, spoil, part, tmp_path):
    form = copy.deepcopy(FORMS[name])
    spoil(form, part)
    folder = folder_of(tmp_path / "model", form)
    refused("logits", folder, "--ids", "1", "-o", tmp_path / "l", words=[MODULE], leaves=tmp_path)


@pytest.mark.parametrize("method", ["quip", "hqq", "aqlm", "quark", "torchao", "eetq"])
def test_other_methods_are_refused_by_name(method, tmp_path):
    form = copy.deepcopy(FORMS["awq"])
    form["config"]["quant_method"] = method
    refused("inspect", folder_of(tmp_path / "model", form), words=[f'"{method}" is not read', "gptq"])


def test_quantizing_again_must_be_asked_for(tmp_path):
    folder = folder_of(tmp_path / "model", FORMS["bnb-nf4-f32"])
    call = ["quantize", folder, "--scheme", "w4g32", "--method", "rtn"]
    refused(*call, "-o", tmp_path / "out", words=[MODULE, "nf4", "--requantize", "nibble dequantize"], leaves=tmp_path)
    done = run(*call, "-o", tmp_path / "out", "--requantize")
    assert "losses of both add up" in done.stderr
    run("dequantize", folder, "-o", tmp_path / "floats", "--dtype", "f32")
    run("quantize", tmp_path / "floats", "--scheme", "w4g32", "--method", "rtn", "-o", tmp_path / "same")
    assert (read_safetensors(tmp_path / "out/model.safetensors")
            == read_safetensors(tmp_path / "same/model.safetensors"))


def test_what_stays_float_is_dequantized(tmp_path):
    """A quantized linear that the new recipe leaves out."""
    folder = folder_of(tmp_path / "model", FORMS["gptq-4-act-order"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("k_proj: float\nrest: w4g32 rtn\n")
    run("quantize", folder, "-o", tmp_path / "out", "--requantize", "--recipe", recipe)
    run("dequantize", folder, "-o", tmp_path / "floats", "--dtype", "f32")
    assert np.array_equal(values(tmp_path / "out"), values(tmp_path / "floats"))
    assert not any("qweight" in name for name in read_safetensors(tmp_path / "out/model.safetensors"))

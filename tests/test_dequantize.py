"""nibble dequantize: any model as a folder of floats; and --lora, whose merged weights everything sees."""
import json
import math
import shutil

import numpy as np
import pytest
from folders import read_safetensors, write_safetensors
from nibble import SHARED, TALES, needs_shared, refused, run, run_json

IDS = "0,427,437,259,395,12,99,1000"


def logits(folder, out, *more, ids=IDS):
    run("logits", folder, "--ids", ids, "-o", out, "--activations", "float", *more)
    _, shape, raw = read_safetensors(out)["logits"]
    return np.frombuffer(raw, np.float32).reshape(shape)


def tensors(folder):
    return read_safetensors(folder / "model.safetensors")


def f32(tensor):
    dtype, shape, raw = tensor
    if dtype == "BF16":
        return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    assert dtype == "F32"
    return np.frombuffer(raw, np.float32).reshape(shape)


@pytest.mark.parametrize("scheme", ["w4g128-asym", "w8", "w3t", "w2g64-asym"])
def test_an_artifact_and_its_floats_are_one_model(scheme, tmp_path):
    run("quantize", TALES, "-o", tmp_path / "q", "--scheme", scheme, "--method", "rtn", "--head", "w8")
    seen = run_json("dequantize", tmp_path / "q", "-o", tmp_path / "f", "--dtype", "f32")
    assert seen["dequantized"] == 4 * 7 + 1 and seen["written"]
    assert np.allclose(logits(tmp_path / "q", tmp_path / "a"), logits(tmp_path / "f", tmp_path / "b"), rtol=1e-5,
                       atol=1e-5)
    for name in ("tokenizer.json", "generation_config.json"):
        assert (tmp_path / "f" / name).read_bytes() == (TALES / name).read_bytes()
    assert not (tmp_path / "f/nibble.json").exists()
    assert run_json("inspect", tmp_path / "f")["stored"]["schemes"] == {}


@needs_shared
def test_matrices_that_are_stored_the_other_way_round(tmp_path):
    gpt2 = SHARED / "models/golden/gpt2"
    run("quantize", gpt2, "-o", tmp_path / "q", "--scheme", "w8", "--method", "rtn")
    run("dequantize", tmp_path / "q", "-o", tmp_path / "f", "--dtype", "f32")
    assert np.allclose(logits(tmp_path / "q", tmp_path / "a", ids="1,2,3"),
                       logits(tmp_path / "f", tmp_path / "b", ids="1,2,3"), rtol=1e-5, atol=1e-5)
    name = "h.0.attn.c_attn.weight"
    shapes = {k.removeprefix("transformer."): v[1] for k, v in tensors(tmp_path / "f").items()}
    source = {}
    for shard in gpt2.glob("model*.safetensors"):
        source |= read_safetensors(shard)
    assert shapes[name] == {k.removeprefix("transformer."): v[1] for k, v in source.items()}[name]


def test_floats_come_back_as_they_were(tmp_path):
    run("dequantize", TALES, "-o", tmp_path / "f")
    assert tensors(tmp_path / "f") == tensors(TALES)
    run("dequantize", TALES, "-o", tmp_path / "h", "--dtype", "f16")
    assert {t[0] for t in tensors(tmp_path / "h").values()} == {"F16"}
    config = json.loads((tmp_path / "h/config.json").read_text())
    assert "float16" in (config.get("dtype"), config.get("torch_dtype"))


def test_it_overwrites_nothing(tmp_path):
    refused("dequantize", TALES, "-o", TALES, words=["would be removed"])
    (tmp_path / "there").mkdir()
    refused("dequantize", TALES, "-o", tmp_path / "there", words=["--force"], leaves=tmp_path)
    assert not run_json("dequantize", TALES, "-o", tmp_path / "x", "--dry-run")["written"]
    assert not (tmp_path / "x").exists()
    run("dequantize", TALES, "-o", tmp_path / "x", "--dtype", "f64", code=2)


def test_float16_is_too_small_for_some(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(TALES, model)
    all_of = tensors(model)
    name = "model.layers.0.mlp.up_proj.weight"
    dtype, shape, raw = all_of[name]
    all_of[name] = dtype, shape, b"\x80\x47" + raw[2:]  # 65536
    write_safetensors(model / "model.safetensors", all_of)
    refused("dequantize", model, "-o", tmp_path / "f", "--dtype", "f16", words=[name, "bf16"], leaves=tmp_path)


# Modules of the adapter, with the rank of each.
CHANGED = {"model.layers.0.self_attn.q_proj": 4, "model.layers.1.mlp.down_proj": 4, "model.layers.3.mlp.up_proj": 2}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """An adapter of the embedded model, and the model that numpy makes of both (float32)."""
    folder, merged = tmp_path_factory.mktemp("lora"), tmp_path_factory.mktemp("merged") / "model"
    shutil.copytree(TALES, merged)
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": True, "fan_in_fan_out": False,
              "rank_pattern": {"mlp.up_proj": 2}, "alpha_pattern": {"up_proj": 3}, "target_modules": ["q_proj"],
              "bias": "none", "modules_to_save": None, "init_lora_weights": True, "use_dora": False}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random, weights, parts = np.random.default_rng(7), tensors(TALES), {}
    for module, r in CHANGED.items():
        n, k = weights[module + ".weight"][1]
        A, B = random.normal(0, .02, (r, k)).astype(np.float32), random.normal(0, .05, (n, r)).astype(np.float32)
        parts |= {f"base_model.model.{module}.lora_{x}.weight": ("F32", list(m.shape), m.tobytes())
                  for x, m in (("A", A), ("B", B))}
        scale = (3 if "up_proj" in module else 8) / math.sqrt(r)
        w = f32(weights[module + ".weight"]) + (scale * (B.astype(np.float64) @ A)).astype(np.float32)
        weights[module + ".weight"] = "F32", [n, k], w.astype(np.float32).tobytes()
    write_safetensors(folder / "adapter_model.safetensors", parts)
    write_safetensors(merged / "model.safetensors", weights)
    return folder, merged


def test_lora_is_what_numpy_merges(adapter, tmp_path):
    folder, merged = adapter
    ours, theirs = logits(TALES, tmp_path / "a", "--lora", folder), logits(merged, tmp_path / "b")
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert np.abs(ours - logits(TALES, tmp_path / "c")).max() > .1
    run("dequantize", TALES, "--lora", folder, "-o", tmp_path / "f", "--dtype", "f32")
    written, expected = tensors(tmp_path / "f"), tensors(merged)
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.allclose(f32(written[name]), f32(tensor), rtol=0, atol=1e-6), name


def test_quantize_eval_and_run_see_the_merged_model(adapter, tmp_path):
    folder, merged = adapter
    call = ["quantize", "--scheme", "w4g128", "--method", "rtn"]
    run("dequantize", TALES, "--lora", folder, "-o", tmp_path / "f", "--dtype", "f32")
    run(*call, TALES, "--lora", folder, "-o", tmp_path / "q")
    run(*call, tmp_path / "f", "-o", tmp_path / "same")
    ours, same = tensors(tmp_path / "q"), tensors(tmp_path / "same")
    for module in CHANGED:
        assert ours[module + ".weight_packed"] == same[module + ".weight_packed"]
        assert ours[module + ".weight_scale"] == same[module + ".weight_scale"]
    text = tmp_path / "t.txt"
    text.write_text("Once upon a time there was a little girl. " * 40)
    seen = run_json("eval", TALES, "--lora", folder, "--against", merged, "--text", text, "--context", 64)
    assert seen["kl_mean"] < 1e-6
    both = run_json("eval", merged, "--against", TALES, "--against-lora", folder, "--text", text, "--context", 64)
    assert both["kl_mean"] < 1e-6
    assert run_json("eval", TALES, "--against", merged, "--text", text, "--context", 64)["kl_mean"] > 1e-4
    greedy = ["--ids", IDS, "-n", 8, "--temperature", 0]
    assert run_json("run", TALES, "--lora", folder, *greedy)["ids"] == run_json("run", merged, *greedy)["ids"]


def test_a_linear_that_stays_float_is_merged_too(adapter, tmp_path):
    folder, _ = adapter
    name = "model.layers.1.mlp.down_proj.weight"
    (tmp_path / "r.yaml").write_text("down_proj: float\nrest: w4g128 rtn\n")
    run("quantize", TALES, "--lora", folder, "-o", tmp_path / "q", "--recipe", tmp_path / "r.yaml")
    run("dequantize", TALES, "--lora", folder, "-o", tmp_path / "f", "--dtype", "f32")
    assert np.array_equal(f32(tensors(tmp_path / "q")[name]), f32(tensors(tmp_path / "f")[name]))


def test_an_adapter_on_a_quantized_model(adapter, tmp_path):
    folder, _ = adapter
    run("quantize", TALES, "-o", tmp_path / "q", "--scheme", "w8", "--method", "rtn")
    run("dequantize", tmp_path / "q", "-o", tmp_path / "f", "--dtype", "f32")
    assert np.allclose(logits(tmp_path / "q", tmp_path / "a", "--lora", folder),
                       logits(tmp_path / "f", tmp_path / "b", "--lora", folder), rtol=1e-4, atol=1e-4)
    seen = run_json("run", tmp_path / "q", "--lora", folder, "--ids", IDS, "-n", 2)
    assert seen["integer_linears"] == 4 * 7 - len(CHANGED)


def test_adapters_that_do_not_fit(adapter, tmp_path):
    def broken(name, config=None, change=None):
        copy = tmp_path / name
        shutil.copytree(adapter[0], copy)
        if config:
            file = copy / "adapter_config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | config))
        if change:
            parts = read_safetensors(copy / "adapter_model.safetensors")
            change(parts)
            write_safetensors(copy / "adapter_model.safetensors", parts)
        return copy
    q = "base_model.model.model.layers.0.self_attn.q_proj"
    cases = [(broken("dora", {"use_dora": True}), "DoRA"), (broken("loha", {"peft_type": "LOHA"}), "LOHA"),
             (broken("saved", {"modules_to_save": ["lm_head"]}), "modules_to_save"),
             (broken("rank", {"r": 5}), "should have [5"),
             (broken("one", change=lambda p: p.pop(q + ".lora_B.weight")), "missing"),
             (broken("other", change=lambda p: p.update({q.replace("0", "9") + ".lora_A.weight":
                                                         p.pop(q + ".lora_A.weight")})), "no linear of this model"),
             (broken("cut", change=lambda p: p.update({q + ".lora_A.weight": ("F32", [4, 1], bytes(16))})), "[4, 1]"),
             (TALES, "adapter_config.json"), (tmp_path / "nowhere", "adapter_config.json")]
    for folder, word in cases:
        refused("logits", TALES, "--lora", folder, "--ids", "1", "-o", tmp_path / "l", words=[word])
    assert not (tmp_path / "l").exists()

"""Recipes: rules for layers and names, in a file, by flags and out of an artifact."""
import json

import pytest
from folders import read_safetensors
from nibble import TALES, digest, run, run_json

CALIBRATION = ["--calibration", TALES / "calibration.txt"]
ISSUE = "layers 0-1: w8g128 rtn\nrest: w4g128 gptq\nembedding: w8\n"


def recipe(tmp_path, text, name="recipe.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """An artifact of a recipe with two methods and a quantized embedding."""
    folder = tmp_path_factory.mktemp("mixed")
    run("quantize", TALES, "--recipe", recipe(folder, ISSUE), *CALIBRATION, "--windows", 8,
        "-o", folder / "out")
    return folder / "out"


def test_each_rule_decides_its_layers(mixed):
    seen = {name: shape for name, (dtype, shape, _) in
            read_safetensors(mixed / "model.safetensors").items()}
    assert "model.layers.1.mlp.up_proj.weight" in seen  # 8 bits are stored as bytes
    assert "model.layers.2.mlp.up_proj.weight_packed" in seen
    assert seen["model.embed_tokens.weight_scale"] == [2048, 1]
    assert "lm_head.weight" not in seen
    record = json.loads((mixed / "nibble.json").read_text())
    assert record["recipe"]["rules"] == ["layers 0-1: w8g128 rtn", "rest: w4g128 gptq",
                                         "embedding: w8 rtn"]
    assert record["consumers"] == ["nibble"] and "embedding" in record["only_nibble_because"]


@pytest.mark.parametrize("activations", ["float", "int8"])
def test_a_quantized_embedding_and_its_tied_head_run(mixed, activations):
    seen = run_json("eval", mixed, "--against", TALES, "--text", TALES / "held_out.txt",
                    "--tokens", 1500, "--activations", activations)
    assert 0 < seen["kl_mean"] < 0.02


def test_the_artifact_is_its_own_recipe(mixed, tmp_path):
    run("quantize", TALES, "--recipe", mixed / "nibble.json", *CALIBRATION, "-o", tmp_path / "out")
    assert digest(tmp_path / "out") == digest(mixed)


def test_flags_are_a_recipe(tmp_path):
    run("quantize", TALES, "--scheme", "w5g64", "--head", "w8", "-o", tmp_path / "flags")
    path = recipe(tmp_path, "rest: w5g64 rtn\nhead: w8\n")
    run("quantize", TALES, "--recipe", path, "-o", tmp_path / "file")
    assert digest(tmp_path / "flags") == digest(tmp_path / "file")


def test_float_layers_stay_as_they_were(tmp_path):
    path = recipe(tmp_path, "layers 1 qkv: float\nrest: w4g128\n")
    run("quantize", TALES, "--recipe", path, "-o", tmp_path / "out")
    seen = read_safetensors(tmp_path / "out/model.safetensors")
    name = "model.layers.1.self_attn.k_proj.weight"
    assert seen[name] == read_safetensors(TALES / "model.safetensors")[name]
    config = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert name.removesuffix(".weight") in config["ignore"]
    assert run_json("run", tmp_path / "out", "-p", "Once", "-n", 4)["ids"]


@pytest.mark.parametrize("text, flags, words", [
    ("rest: w4g128\n", ["--scheme", "w3"], "leave the flag out"),
    ("rest: w4\ndamping: 0.1\n", ["--damping", 0.2], "leave one out"),
])
def test_flags_do_not_override_a_file(tmp_path, text, flags, words):
    done = run("quantize", TALES, "--recipe", recipe(tmp_path, text), *flags, "-o",
               tmp_path / "out", code=2)
    assert words in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("text, words", [
    ("layers 7: w8\nrest: w4\n", '"layers 7" decides nothing'),
    ("rest: w4\ndown_proj: w8\n", "decides nothing"),
    ("rest: w4 magic\n", "not a method"),
    ("rest: [w4\n", "not YAML"),
    ("colour: blue\n", "not a scheme"),
])
def test_a_wrong_file_is_one_line(tmp_path, text, words):
    done = run("quantize", TALES, "--recipe", recipe(tmp_path, text), "-o", tmp_path / "out",
               code=1)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1

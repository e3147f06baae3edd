"""What compressed-tensors exports say of inputs, and nibble's reading of it. transformers loads them in
tools/interop/compressed_tensors.py."""
import json
import struct

from folders import read_safetensors, write_safetensors
from nibble import TALES, refused, run, run_json
from test_export import MODULES, export, made  # noqa: F401 (made is a fixture)

LOSS = ["--eval", TALES / "held_out.txt", "--tokens", 2000, "--against", TALES]


def kl_of(folder, activations):
    return run_json("eval", folder, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 2000,
                    "--activations", activations)["kl_mean"]


def stated_inputs(out):
    """-> the targets of each config group, its input_activations."""
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    return [(group["targets"], group["input_activations"]) for group in config["config_groups"].values()]


# vLLM's W8A8 asks for just these: _is_dynamic_token_w8a8, _is_static_tensor_w8a8.
def test_rounds_inputs(made, tmp_path):  # noqa: F811
    seen, out = export(made("w8"), "compressed-tensors:int-quantized", tmp_path, *LOSS)
    [(targets, inputs)] = stated_inputs(out)
    assert targets == ["Linear"] and seen["round_trip"]["lossless"] and "each token" in seen["loss"]["arithmetic"]
    assert inputs == {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "group_size": None,
                      "dynamic": True, "observer": None}
    assert json.loads((out / "config.json").read_text())["quantization_config"]["format"] == "int-quantized"
    assert seen["loss"]["kl_mean"] == kl_of(out, "int8-token") == kl_of(made("w8"), "int8-token")
    # Weights alone where nothing is said.
    seen, out = export(made("w8"), "compressed-tensors", tmp_path, *LOSS, "--force")
    assert seen["flavour"] == "pack-quantized" and stated_inputs(out) == [(["Linear"], None)]
    assert seen["loss"]["kl_mean"] == kl_of(out, "float")
    for scheme in ("w8g128", "w8-asym"):
        refused("export", made(scheme), "--to", "compressed-tensors:int-quantized", "-o", tmp_path / "no",
                words=["int-quantized", scheme, "pack-quantized"], leaves=tmp_path)


def test_with_stored_scales_of_inputs(tmp_path):
    artifact = tmp_path / "artifact"
    run("quantize", TALES, "-o", artifact, "--scheme", "w8", "--method", "rtn", "--input-ranges", "minmax", "--windows", 4,
        "--float-inputs", "down_proj", "--calibration", TALES / "calibration.txt")
    seen, out = export(artifact, "compressed-tensors:int-quantized", tmp_path, *LOSS)
    groups = {bool(inputs): (targets, inputs) for targets, inputs in stated_inputs(out)}
    assert groups[True][1]["strategy"] == "tensor" and groups[True][1]["dynamic"] is False
    assert len(groups[True][0]) == 24 and all("down_proj" in target for target in groups[False][0])
    tensors = read_safetensors(out / "model.safetensors")
    for module in MODULES:
        if module.endswith("down_proj"):
            assert f"{module}.input_scale" not in tensors
        else:
            assert tensors[f"{module}.input_scale"][:2] == ("F32", [1])
    assert seen["loss"]["kl_mean"] == kl_of(out, "int8-static") == kl_of(artifact, "int8-static")
    # The folder says by itself which inputs stay floats.
    (out / "nibble.json").unlink()
    assert kl_of(out, "int8-static") == seen["loss"]["kl_mean"]
    # To loaders a scale that is not announced is a tensor without a place.
    _, out = export(artifact, "compressed-tensors", tmp_path, "--force")
    assert not any("input_scale" in name for name in read_safetensors(out / "model.safetensors"))


def test_static_inputs_with_zero_points_are_refused(made, tmp_path):  # noqa: F811
    run("export", made("w8"), "--to", "compressed-tensors:int-quantized", "-o", tmp_path / "foreign")
    path = tmp_path / "foreign/model.safetensors"
    tensors = read_safetensors(path)
    for module in MODULES:
        tensors[f"{module}.input_scale"] = "F32", [1], struct.pack("<f", .01)
        tensors[f"{module}.input_zero_point"] = "I8", [1], bytes([module == MODULES[5]])
    write_safetensors(path, tensors)
    refused("eval", tmp_path / "foreign", "--text", TALES / "held_out.txt", "--tokens", 600, "--activations", "int8-static",
            words=[f"{MODULES[5]}.input_zero_point", "int8-token"])
    run("eval", tmp_path / "foreign", "--text", TALES / "held_out.txt", "--tokens", 600, "--activations", "int8-token")

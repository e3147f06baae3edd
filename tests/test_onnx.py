"""nibble export --to onnx: the graph run in numpy (onnx_files.py) against nibble's own logits, and the bytes of every
flavour against the artifact's integers. onnxruntime, OpenVINO and GenAI load them in tools/interop/onnx.py."""
import json

import numpy as np
import pytest
from folders import read_safetensors
from nibble import SHARED, TALES, needs_shared, refused, run, run_json
from onnx_files import INT4, UINT4, OnnxFolder, block_values
from test_export import MODULES, artifact, export, made, tensors_of  # noqa: F401 (made is a fixture)

GOLDEN = SHARED / "models/golden"
FAMILIES = sorted(p.name for p in GOLDEN.glob("*") if p.is_dir())
IDS = [(7 * i + 3 * i * i) % 96 for i in range(16)]


def logits_of_nibble(folder, tmp_path, *more, ids=IDS):
    file = tmp_path / "logits.safetensors"
    run("logits", folder, "--ids", ",".join(map(str, ids)), "-o", file, "--activations", *(more or ["float"]))
    _, shape, raw = read_safetensors(file)["logits"]
    return np.frombuffer(raw, np.float32).reshape(shape)


def far(seen, wanted):
    return np.abs(seen - wanted).max() / wanted.std()


def cached(onnx, ids=IDS, first=9):
    """Logits of the ids, the later ones token by token behind a cache."""
    logits, past = onnx.logits(ids[:first])
    rows = [logits]
    for token in ids[first:]:
        logits, past = onnx.logits([token], past)
        rows.append(logits)
    return np.concatenate(rows)


@needs_shared
@pytest.mark.parametrize("family", FAMILIES)
def test_graph_of_a_family(family, tmp_path):
    seen, out = export(GOLDEN / family, "onnx", tmp_path)
    assert seen["flavour"] == "f32" and seen["round_trip"]["lossless"]
    onnx = OnnxFolder(out)
    assert onnx.ir_version == 10 and onnx.opsets == {"": 21, "com.microsoft": 1}
    golden = read_safetensors(GOLDEN / family / "golden.safetensors")
    ids = np.frombuffer(golden["input_ids"][2], np.int32).tolist()
    _, shape, raw = golden["logits"]
    wanted = np.frombuffer(raw, np.float32).reshape(shape)
    assert far(cached(onnx, ids, 40), wanted) < 1e-3


KINDS = [("w4g128-asym", "nbits"), ("w4g128", "nbits"), ("w4", "nbits"), ("w2g64-asym", "nbits"), ("w3g32", "nbits"),
         ("w8g128", "nbits"), ("w4g128-full", "nbits"), ("w4g128-asym", "nbits-int8"), ("w4g128-asym", "dq"),
         ("w4g64", "dq"), ("w4", "dq"), ("w8-asym", "dq"), ("w5g64", "dq"), ("w4g128-asym", "f32")]


@pytest.mark.parametrize("scheme,flavour", KINDS)
def test_graph_of_integers(made, tmp_path, scheme, flavour):  # noqa: F811
    seen, out = export(made(scheme), f"onnx:{flavour}", tmp_path)
    assert seen["round_trip"]["lossless"] and seen["flavour"] == flavour
    onnx = OnnxFolder(out)
    assert far(cached(onnx), logits_of_nibble(made(scheme), tmp_path)) < 1e-3
    microsoft = {op for op, *_, domain in onnx.nodes if domain}
    assert microsoft == ({"MatMulNBits"} if "nbits" in flavour else set())
    for begin, length in onnx.offsets.values():
        assert begin % (4096 if length >= 65536 else 64) == 0


@pytest.mark.parametrize("scheme,width,group", [("w4g128-asym", 4, 128), ("w4g64", 4, 64), ("w2g64-asym", 2, 64),
                                                ("w8", 8, None), ("w3g32", 3, 32)])
def test_nbits_holds_the_artifacts_integers(made, tmp_path, scheme, width, group):  # noqa: F811
    _, out = export(made(scheme), "onnx:nbits", tmp_path)
    onnx, ours = OnnxFolder(out), tensors_of(made(scheme))
    for module in MODULES:
        codes, scales = artifact(ours, module, width, group)
        w = onnx.weights
        bits = 4 if width == 3 else width
        assert (f"{module}.weight_zero_point" in w) == ("asym" in scheme)
        integers = block_values(w[f"{module}.weight_codes"], np.ones_like(w[f"{module}.weight_scale"]),
                                w.get(f"{module}.weight_zero_point"), bits)
        assert (integers == codes).all()
        theirs = w[f"{module}.weight_scale"]
        assert (np.repeat(theirs, codes.shape[1] // theirs.shape[1], 1) ==
                np.repeat(scales, codes.shape[1] // scales.shape[1], 1)).all()


@pytest.mark.parametrize("scheme,width,group,kind", [("w4g128-asym", 4, 128, UINT4), ("w4g64", 4, 64, INT4),
                                                     ("w8", 8, None, 3), ("w8-asym", 8, None, 2)])
def test_dq_holds_the_artifacts_integers(made, tmp_path, scheme, width, group, kind):  # noqa: F811
    _, out = export(made(scheme), "onnx:dq", tmp_path)
    onnx, ours = OnnxFolder(out), tensors_of(made(scheme))
    for module in MODULES:
        codes, scales = artifact(ours, module, width, group)
        stored, scale = onnx.weights[f"{module}.weight_codes"], onnx.weights[f"{module}.weight_scale"]
        zero = onnx.weights.get(f"{module}.weight_zero_point", np.zeros((1, 1), np.int32)).astype(np.int32)
        assert onnx.kinds[f"{module}.weight_codes"] == kind
        zero = np.repeat(zero, len(stored) // len(zero), 0) if zero.ndim == 2 else zero
        assert (stored.astype(np.int32) - zero == codes.T).all()
        assert (scale.reshape(-1, codes.shape[0]) == scales.T).all()


def test_quantized_embedding_and_head(tmp_path):
    folder = tmp_path / "artifact"
    run("quantize", TALES, "-o", folder, "--scheme", "w4g64-asym", "--method", "rtn", "--embedding", "w4g32-asym",
        "--head", "w4g32-asym")
    for flavour in ("nbits", "dq"):
        seen = run_json("export", folder, "--to", f"onnx:{flavour}", "-o", tmp_path / flavour)
        assert seen["round_trip"]["lossless"] and seen["round_trip"]["matrices"] == 30
        assert far(OnnxFolder(tmp_path / flavour).logits(IDS)[0], logits_of_nibble(folder, tmp_path)) < 1e-3


def divergence(wanted, seen):
    def log_softmax(x):
        x = x.astype(np.float64) - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))
    p, q = log_softmax(wanted), log_softmax(seen)
    return (np.exp(p) * (p - q)).sum(-1).mean()


def test_int8_dynamic(made, tmp_path):  # noqa: F811
    seen, out = export(made("w8"), "onnx:int8-dynamic", tmp_path)
    assert seen["round_trip"]["lossless"] and any("VNNI" in note for note in seen["notes"])
    onnx, ours = OnnxFolder(out), tensors_of(made("w8"))
    for module in MODULES:
        assert (onnx.weights[f"{module}.weight_codes"].astype(int) - 128 == artifact(ours, module, 8, None)[0].T).all()
    ops = [op for op, *_ in onnx.nodes]
    # Queries, keys and values share their inputs' bytes, gate and up theirs.
    assert (ops.count("MatMulInteger"), ops.count("DynamicQuantizeLinear")) == (28, 16)
    assert divergence(logits_of_nibble(TALES, tmp_path), onnx.logits(IDS)[0]) < .02


def test_int8_dynamic_rounds_what_has_other_scales(tmp_path):
    seen, out = export(TALES, "onnx:int8-dynamic", tmp_path)
    assert not seen["round_trip"]["lossless"] and seen["notes"][0].startswith("28 linears")
    weights, source = OnnxFolder(out).weights, tensors_of(TALES)
    name = "model.layers.2.mlp.up_proj.weight"
    floats = (source[name].astype(np.uint32) << 16).view(np.float32)
    scale = np.abs(floats).max(1) / 127
    assert np.allclose(weights[f"{name}_scale"], scale)
    assert np.abs((weights[f"{name}_codes"].T.astype(int) - 128) * scale[:, None] - floats).max() <= scale.max() * .501


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated") / "artifact"
    run("quantize", TALES, "-o", folder, "--scheme", "w8", "--method", "rtn", "--input-ranges", "minmax",
        "--calibration", TALES / "calibration.txt", "--windows", 4)
    return folder


def test_int8_qdq_computes_what_nibble_does(calibrated, tmp_path):
    _, out = export(calibrated, "onnx:int8-qdq", tmp_path)
    onnx = OnnxFolder(out)
    assert [op for op, *_ in onnx.nodes].count("QuantizeLinear") == 16
    floats, ours = logits_of_nibble(TALES, tmp_path), logits_of_nibble(calibrated, tmp_path, "int8-static")
    theirs = onnx.logits(IDS)[0]
    # Rounding to bytes is chaotic in its last steps: the same arithmetic, not the same bits.
    assert divergence(ours, theirs) < .1 * divergence(floats, ours)


CALIBRATION = ["--calibration", TALES / "calibration.txt", "--windows", 4]


# The same windows through the same weights: quantize --input-ranges minmax sees the same largest values.
@pytest.mark.parametrize("target", ["onnx:int8-qdq", "openvino:int8-qdq", "ort-genai:int8-qdq", "tensorrt"])
def test_ranges_of_a_calibration_text(made, calibrated, tmp_path, target):  # noqa: F811
    run("export", calibrated, "--to", target, "-o", tmp_path / "own")
    _, out = export(made("w8"), target, tmp_path, *CALIBRATION)
    for name in ("model.onnx", "model.onnx.data", *["calibration_ranges.json"] * (target == "tensorrt")):
        assert (out / name).read_bytes() == (tmp_path / "own" / name).read_bytes()
    record = json.loads((out / "nibble.json").read_text())
    wanted = json.loads((calibrated / "nibble.json").read_text())["calibration"]
    assert record["ranges"]["hash"] == wanted["hash"] and record["ranges"]["tokens"] == wanted["tokens"] == 4 * 512
    run("export", made("w8"), "--to", "onnx", "-o", tmp_path / "plain")
    assert record["exported_from"] == json.loads((tmp_path / "plain/nibble.json").read_text())["exported_from"]
    assert f"| tokens of its ranges | \"{wanted['hash']}\" |" in (out / "README.md").read_text()
    assert run("verify", out, "--against", made("w8"), "--lossless").stdout.startswith("lossless")
    assert "ranges" not in json.loads((tmp_path / "own/nibble.json").read_text())


def test_a_models_own_ranges_come_first(calibrated, tmp_path):
    run("export", calibrated, "--to", "onnx:int8-qdq", "-o", tmp_path / "own")
    seen, out = export(calibrated, "onnx:int8-qdq", tmp_path, "--calibration", TALES / "held_out.txt", "--windows", 1)
    assert (out / "model.onnx").read_bytes() == (tmp_path / "own/model.onnx").read_bytes()
    assert any("the model's own" in note for note in seen["notes"])
    assert "ranges" not in json.loads((out / "nibble.json").read_text())


def test_ranges_of_statistics(made, tmp_path):  # noqa: F811
    run("calibrate", TALES, "-o", tmp_path / "s", *CALIBRATION)
    seen, out = export(made("w8"), "onnx:int8-qdq", tmp_path, "--statistics", tmp_path / "s", "--eval",
                       TALES / "held_out.txt", "--tokens", 1100, "--against", TALES)
    onnx = OnnxFolder(out)
    largest = []
    for layer in range(4):
        stored = read_safetensors(tmp_path / f"s/block-{layer:05}.safetensors")
        largest += [np.frombuffer(stored[f"{stage}.absmax"][2], np.float32).max() for stage in ("qkv", "out", "gate_up", "down")]
    scales = [float(onnx.weights[inputs[1]]) for op, inputs, *_ in onnx.nodes if op == "QuantizeLinear"]
    assert np.allclose(scales, np.array(largest) / 127)
    source = json.loads((tmp_path / "s/statistics.json").read_text())["calibration"]
    assert json.loads((out / "nibble.json").read_text())["ranges"] == source
    assert seen["loss"]["arithmetic"] == "inputs rounded to int8 with the stored scales" and 0 < seen["loss"]["kl_mean"] < .05


def test_the_card_knows_the_tokens_of_statistics(tmp_path):
    run("calibrate", TALES, "-o", tmp_path / "s", *CALIBRATION)
    run("quantize", TALES, "-o", tmp_path / "a", "--scheme", "w8", "--method", "gptq", "--statistics", tmp_path / "s",
        "--export", "onnx:int8-qdq")
    wanted = json.loads((tmp_path / "s/statistics.json").read_text())["calibration"]["hash"]
    card = (tmp_path / "a-onnx-int8-qdq/README.md").read_text()
    assert f"| calibration tokens | \"{wanted}\" |" in card and f"| tokens of its ranges | \"{wanted}\" |" in card


def test_ranges_that_are_refused(made, tmp_path):  # noqa: F811
    def usage(*args):
        before = sorted(tmp_path.iterdir())
        said = run(*args, code=2).stderr
        assert sorted(tmp_path.iterdir()) == before
        return said
    out = tmp_path / "out"
    for target in ("onnx", "onnx:nbits", "tflite:dynamic", "gptq"):
        assert "fixes no ranges" in usage("export", made("w8"), "--to", target, "-o", out, *CALIBRATION)
    run("calibrate", TALES, "-o", tmp_path / "s", *CALIBRATION)
    assert "what linears give" in usage("export", made("w8"), "--to", "tflite:int8", "-o", out, "--statistics", tmp_path / "s")
    # Before anything is quantized.
    common = ["quantize", TALES, "-o", out, "--scheme", "w8", "--method", "gptq"]
    assert "ranges of activations" in usage(*common, "--statistics", tmp_path / "s", "--export", "tflite:int8")
    assert "ranges of activations" in usage(*common, "--export", "onnx:int8-qdq")
    run("quantize", TALES, "-o", tmp_path / "moved", "--scheme", "w8", "--method", "rtn", "--transforms", "smoothquant",
        *CALIBRATION)
    refused("export", tmp_path / "moved", "--to", "onnx:int8-qdq", "-o", out, "--statistics", tmp_path / "s",
            words=["a transform"], leaves=tmp_path)


def test_genai_folder(made, tmp_path):  # noqa: F811
    _, out = export(made("w4g128-asym"), "ort-genai", tmp_path)
    config = json.loads((out / "genai_config.json").read_text())
    decoder = config["model"]["decoder"]
    assert config["model"]["type"] == "llama" and (out / "tokenizer.json").exists()
    assert decoder["session_options"]["session.qdq_matmulnbits_accuracy_level"] == "1"
    onnx = OnnxFolder(out)
    names = set(decoder["inputs"].values())
    for layer in range(decoder["num_hidden_layers"]):
        names |= {decoder["inputs"][f"past_{part}_names"] % layer for part in ("key", "value")}
    names -= {decoder["inputs"][f"past_{part}_names"] for part in ("key", "value")}
    assert names == set(onnx.inputs)
    assert decoder["outputs"]["present_key_names"] % 0 in onnx.outputs and not config["search"]["past_present_share_buffer"]


def tensorrt(folder, tmp_path):
    seen, out = export(folder, "tensorrt", tmp_path)
    assert seen["round_trip"]["lossless"]
    assert run_json("lint", out, "--target", "tensorrt")["problems"] == []
    onnx = OnnxFolder(out)
    assert {domain for *_, domain in onnx.nodes} == {""}
    for op, inputs, _, _, _ in onnx.nodes:
        if op in ("QuantizeLinear", "DequantizeLinear"):
            assert (onnx.weights[inputs[1]] > 0).all()
            assert len(inputs) == 2 or (onnx.weights[inputs[2]].dtype == np.int8 and not onnx.weights[inputs[2]].any())
    return onnx, out


def test_tensorrt_with_static_inputs(calibrated, tmp_path):
    onnx, out = tensorrt(calibrated, tmp_path)
    ours = logits_of_nibble(calibrated, tmp_path, "int8-static")
    assert divergence(ours, onnx.logits(IDS)[0]) < .1 * divergence(logits_of_nibble(TALES, tmp_path), ours)
    ranges = json.loads((out / "calibration_ranges.json").read_text())["tensors"]
    quantized = {inputs[0]: onnx.weights[inputs[1]] for op, inputs, *_ in onnx.nodes if op == "QuantizeLinear"}
    assert ranges.keys() == quantized.keys() and len(ranges) == 16
    assert all(np.isclose(ranges[name]["amax"], 127 * scale) for name, scale in quantized.items())


def test_tensorrt_weights_alone(made, tmp_path):  # noqa: F811
    onnx, _ = tensorrt(made("w4"), tmp_path)
    assert onnx.kinds["model.layers.0.mlp.up_proj.weight_codes"] == INT4
    assert onnx.weights["model.layers.0.mlp.up_proj.weight_scale"].ndim == 2
    assert far(cached(onnx), logits_of_nibble(made("w4"), tmp_path)) < 1e-3


def test_lint_finds_what_tensorrt_refuses(made, tmp_path):  # noqa: F811
    for flavour, words in (("nbits", "com.microsoft"), ("dq", "zero point that is not 0"),
                           ("int8-dynamic", "no MatMulInteger")):
        out = tmp_path / flavour
        run("export", made("w4g128-asym"), "--to", f"onnx:{flavour}", "-o", out)
        problems = json.loads(run("lint", out, "--target", "tensorrt", "--json", code=1).stdout)["problems"]
        assert any(words in line for line in problems)


def test_refusals(made, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    refused("export", TALES, "--to", "onnx:nbits", "-o", out, words=["quantize it first"], leaves=tmp_path)
    refused("export", made("w8"), "--to", "onnx:int8-qdq", "-o", out, words=["--input-ranges"], leaves=tmp_path)
    refused("export", made("w4g128-asym"), "--to", "tensorrt", "-o", out, words=["symmetric"], leaves=tmp_path)


@needs_shared
def test_int8_dynamic_refuses_experts(tmp_path):
    refused("export", GOLDEN / "mixtral", "--to", "onnx:int8-dynamic", "-o", tmp_path / "out", words=["experts"],
            leaves=tmp_path)


@pytest.mark.parametrize("key", ["offset", "length"])
def test_lint_refuses_places_outside_the_data(made, tmp_path, key):  # noqa: F811
    _, out = export(made("w4"), "onnx:dq", tmp_path)
    model = out / "model.onnx"
    model.write_bytes(model.read_bytes().replace(key.encode(), b"absent"))
    refused("lint", out, "--target", "tensorrt", words=["lies outside"])

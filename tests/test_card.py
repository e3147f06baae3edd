"""What an export says of its loss, quantize --export, and nibble lint."""
import json

import pytest
from nibble import SHARED, TALES, needs_shared, refused, run, run_json, start
from test_export import export, made  # noqa: F401 (made is a fixture)

TEXT = ["--eval", TALES / "held_out.txt", "--tokens", 2000]


def loss_of(out):
    return json.loads((out / "nibble.json").read_text())["loss"]


# The format's own arithmetic: what `nibble eval` on the export says with these activations.
@pytest.mark.parametrize("scheme,target,activations", [
    ("w4g32", "gguf", "int8"), ("w4g128", "gptq", "float"), ("w8", "bitsandbytes:int8", "int8-token"),
    ("w4g128-asym", "awq", "float")])
def test_the_loss_of_the_file_itself(made, tmp_path, scheme, target, activations):  # noqa: F811
    seen, out = export(made(scheme), target, tmp_path, *TEXT, "--against", TALES)
    wanted = run_json("eval", out, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 2000,
                      "--activations", activations)
    for loss in (seen["loss"], loss_of(out)):
        assert loss["ran"] == "this file" and loss["tokens"] == wanted["tokens"]
        for key in ("kl_mean", "kl_p99", "top1", "perplexity", "reference_perplexity"):
            assert loss[key] == wanted[key]
    card = (out / "README.md").read_text()
    assert f"KL {wanted['kl_mean']:.5f}" in card and loss["arithmetic"] in card


def test_the_loss_of_a_graph(made, tmp_path):  # noqa: F811
    seen, out = export(made("w4g128"), "onnx", tmp_path, *TEXT)
    wanted = run_json("eval", made("w4g128"), "--text", TALES / "held_out.txt", "--tokens", 2000)
    assert seen["loss"]["perplexity"] == wanted["perplexity"] and "kl_mean" not in seen["loss"]
    assert seen["loss"]["ran"].startswith("the source")
    # Rounded to 8 bits here, which nothing of nibble runs.
    seen, out = export(made("w4g128"), "onnx:int8-dynamic", tmp_path, *TEXT, "--force")
    assert "not measured" in seen["loss"]["unknown"]


def test_unmeasured_it_says_so(made, tmp_path):  # noqa: F811
    _, out = export(made("w4g128"), "gptq", tmp_path)
    assert loss_of(out) == {"unknown": "not measured"} and "unknown: not measured" in (out / "README.md").read_text()
    run("export", made("w4g128"), "--to", "gptq", "-o", tmp_path / "no", "--against", TALES, code=2)


def test_quantize_and_export(tmp_path):
    out = tmp_path / "q"
    common = ["quantize", TALES, "-o", out, "--scheme", "w4g128", "--method", "rtn"]
    run(*common, "--export", "zz", code=2)
    (tmp_path / "q-awq").mkdir()
    refused(*common, "--export", "gptq:v1", "--export", "awq", words=["q-awq", "already exists"], leaves=tmp_path)
    (tmp_path / "q-awq").rmdir()
    refused(*common, "--export", "gptq", "--eval", tmp_path / "none.txt", words=["none.txt", "does not exist"], leaves=tmp_path)
    run(*common, *TEXT, code=2)
    seen = run_json(*common, "--export", "gptq:v1", "--export", "onnx")
    assert [e["format"] for e in seen["exports"]] == ["gptq", "onnx"]
    assert all(e["round_trip"]["lossless"] for e in seen["exports"])
    assert all(e["loss"] == {"unknown": "not measured"} for e in seen["exports"])
    for name in ("q-gptq-v1", "q-onnx"):
        assert run("verify", tmp_path / name, "--against", out, "--lossless").stdout.startswith("lossless")


def test_quantize_measures_its_exports_against_its_model(tmp_path):
    seen = run_json("quantize", TALES, "-o", tmp_path / "q", "--scheme", "w4g128", "--export", "gptq", *TEXT)
    assert 0 < seen["exports"][0]["loss"]["kl_mean"] < .1
    assert loss_of(tmp_path / "q-gptq") == seen["exports"][0]["loss"]


def problems(folder, target):
    done = start("lint", folder, "--target", target, "--json")
    found = json.loads(done.communicate()[0])["problems"]
    assert done.returncode == (1 if found else 0)
    return " | ".join(found)


def test_verify_of_graphs(made, tmp_path):  # noqa: F811
    _, out = export(made("w4g128"), "onnx", tmp_path)
    data = out / "model.onnx.data"
    blob = bytearray(data.read_bytes())
    blob[len(blob) // 2] ^= 1
    data.write_bytes(blob)
    seen = run_json("verify", out, "--against", made("w4g128"))
    assert not seen["lossless"] and seen["exact_matrices"] >= 28
    refused("verify", out, "--against", made("w8"), words=["other shapes"])
    record = json.loads((out / "nibble.json").read_text())
    (out / "nibble.json").write_text(json.dumps(record | {"flavour": "zz"}))
    refused("verify", out, "--against", made("w4g128"), words=["no flavour", "zz"])


def test_lint_of_hexagon(made, tmp_path):  # noqa: F811
    artifact = tmp_path / "w8"
    run("quantize", TALES, "-o", artifact, "--scheme", "w8", "--method", "rtn", "--input-ranges", "minmax",
        "--calibration", TALES / "calibration.txt")
    _, out = export(artifact, "onnx:int8-qdq", tmp_path)
    found = problems(out, "hexagon")
    assert "input_ids: has a size that varies" in found and "MatMul" not in found
    assert "operator of" not in found and "zero points" not in found
    _, out = export(made("w4g128"), "onnx", tmp_path, "--force")
    assert "operator of com.microsoft" in problems(out, "hexagon")
    _, out = export(made("w8-asym"), "onnx:dq", tmp_path, "--force")
    assert "not the middle" in problems(out, "hexagon")
    assert "OpenVINO 2022.3 LTS is the last" in problems(out, "myriad-x")


def test_lint_of_folders(made, tmp_path):  # noqa: F811
    for scheme, target, word in (("w4g128", "gptq", ""), ("w4g128-asym", "awq", ""), ("w8", "compressed-tensors", ""),
                                 ("w3g128", "compressed-tensors", "3 bits"), ("w4g128-asym", "gptq:v2", "26092"),
                                 ("w4g128", "bitsandbytes:nf4", "GPUs alone")):
        _, out = export(made(scheme), target, tmp_path, "--force")
        found = problems(out, "vllm")
        assert word in found and bool(word) == bool(found), found
    (out / "tokenizer.json").unlink()
    assert "no tokenizer" in problems(out, "vllm")


def test_lint_of_gguf(made, tmp_path):  # noqa: F811
    _, out = export(made("w4g32"), "gguf", tmp_path)
    (out / "Modelfile").unlink(missing_ok=True)
    own = problems(out, "llama.cpp")
    assert "tokenizer" not in own
    assert "no Modelfile" in problems(out, "ollama") and "float weights" not in problems(out, "ollama")
    (out / "Modelfile").write_text("FROM ./other.gguf\n")
    assert "other.gguf, which is not there" in problems(out, "ollama")
    (out / "Modelfile").write_text("FROM ./model.gguf\n")
    assert problems(out, "ollama") == own
    _, out = export(TALES, "gguf", tmp_path, "--force")
    assert "float weights" in problems(out, "ollama")
    _, out = export(made("w4g32"), "gguf", tmp_path, "--force", "--split-size", "1MB")
    assert "is in parts, which Ollama does not import" in problems(out, "ollama")
    assert problems(out, "llama.cpp") == own
    refused("lint", TALES, "--target", "llama.cpp", words=["no GGUF"])
    done = run("lint", out, "--target", "zz", code=2)
    assert "known: tensorrt" in done.stderr


def test_openvino_is_a_flavour_of_onnx(made, tmp_path):  # noqa: F811
    seen, out = export(made("w4g128"), "openvino", tmp_path)
    assert seen["flavour"] == "dq" and seen["round_trip"]["lossless"]
    run("export", made("w4g128"), "--to", "onnx:dq", "-o", tmp_path / "dq")
    for name in ("model.onnx", "model.onnx.data"):
        assert (out / name).read_bytes() == (tmp_path / "dq" / name).read_bytes()
    assert run("verify", out, "--against", made("w4g128"), "--lossless").stdout.startswith("lossless")
    assert export(TALES, "openvino", tmp_path, "--force")[0]["flavour"] == "f32"


@needs_shared
@pytest.mark.parametrize("model, said", [(TALES, 0), (SHARED / "models/golden/llama", 1)])
def test_bitsandbytes_says_where_its_own_packing_would_stop(model, said, tmp_path):
    for flavour, expected in (("nf4", said), ("int8", 0)):
        seen, _ = export(model, f"bitsandbytes:{flavour}", tmp_path, "--force")
        assert sum("AVX512_BF16" in note for note in seen["notes"]) == expected

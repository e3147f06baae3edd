"""What an export says of its loss, quantize --export, and nibble lint."""
import json
import shutil

import numpy as np
import pytest
from folders import Folder, read_safetensors, write_safetensors
from nibble import ROOT, SHARED, TALES, needs_shared, refused, run, run_json, start
from onnx_files import OnnxFolder
from test_export import MODULES, export, made  # noqa: F401 (made is a fixture)
from test_onnx import divergence, logits_of_nibble
from tflite_files import TfliteFile

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


def test_the_loss_of_a_graph(made, tmp_path, monkeypatch):  # noqa: F811
    # The file's head is float32; tables with products of their own for bfloat16 sum the source's in another order.
    monkeypatch.setenv("NIBBLE_KERNELS", "reference")
    seen, out = export(made("w4g128"), "onnx", tmp_path, *TEXT)
    wanted = run_json("eval", made("w4g128"), "--text", TALES / "held_out.txt", "--tokens", 2000)
    assert seen["loss"]["perplexity"] == wanted["perplexity"] and "kl_mean" not in seen["loss"]
    assert seen["loss"]["ran"] == "this file"


def with_integers(source, out, codes_of):
    """A copy of an artifact of w8 with other integers: codes_of(module) -> codes (n, k), scales (n)."""
    shutil.copytree(source, out)
    tensors = read_safetensors(out / "model.safetensors")
    for module in MODULES:
        codes, scales = codes_of(module)
        tensors[f"{module}.weight"] = "I8", list(codes.shape), codes.astype(np.int8).tobytes()
        tensors[f"{module}.weight_scale"] = "F32", [len(codes), 1], scales.astype(np.float32).tobytes()
    write_safetensors(out / "model.safetensors", tensors)
    return out


def integers_of(out, target):
    if target == "tflite:dynamic":
        weights = TfliteFile(out / "model.tflite").weights()
        return lambda module: (weights[f"{module}.weight_codes"].value, weights[f"{module}.weight_codes"].scales)
    weights = OnnxFolder(out).weights
    return lambda module: (weights[f"{module}.weight_codes"].T.astype(int) - 128, weights[f"{module}.weight_scale"])


# The numbers are the file's: its integers in an artifact, evaluated, have the same. Less the artifact's own KL it is what
# rounding anew cost.
@pytest.mark.parametrize("target", ["onnx:int8-dynamic", "tflite:dynamic"])
def test_the_loss_of_weights_rounded_anew(made, tmp_path, target):  # noqa: F811
    def kl(folder):
        return run_json("eval", folder, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 2000,
                        "--activations", "int8-token")["kl_mean"]
    seen, out = export(made("w4g128-asym"), target, tmp_path, *TEXT, "--against", TALES)
    planted = with_integers(made("w8"), tmp_path / "planted", integers_of(out, target))
    assert seen["loss"]["kl_mean"] == pytest.approx(kl(planted), rel=1e-6)
    added = seen["round_trip"]["kl_added"]
    assert added == pytest.approx(seen["loss"]["kl_mean"] - kl(made("w4g128-asym")), rel=1e-6)
    assert seen["round_trip"]["verdict"].startswith(f"requantized, KL {added:+.5f}, ")
    record = json.loads((out / "nibble.json").read_text())
    assert record["round_trip"]["kl_added"] == added and record["loss"] == seen["loss"]
    assert f"requantized, KL {added:+.5f}" in (out / "README.md").read_text()
    # Of a float model there is nothing that it could add to.
    seen, _ = export(TALES, target, tmp_path, *TEXT, "--against", TALES, "--force")
    assert seen["loss"]["kl_mean"] > 0 and "kl_added" not in seen["round_trip"]


def test_the_loss_of_a_quantized_embedding(tmp_path):
    """A tied head that is rounded anew, beside the embedding's rows as they are."""
    artifact = tmp_path / "artifact"
    run("quantize", TALES, "-o", artifact, "--scheme", "w8", "--method", "rtn", "--embedding", "w4g32-asym")
    seen, out = export(artifact, "onnx:int8-dynamic", tmp_path, *TEXT, "--against", TALES)
    assert seen["round_trip"]["exact_matrices"] == 29 and seen["round_trip"]["matrices"] == 30
    assert abs(seen["round_trip"]["kl_added"]) < .1 * seen["loss"]["kl_mean"]


@pytest.mark.parametrize("flavour", ["int8", "uint8"])
def test_the_loss_between_integers(made, tmp_path, flavour):  # noqa: F811
    """What linears take and give is rounded to the file's 8 bits, as another evaluation of the file has it."""
    text = tmp_path / "text.txt"
    text.write_text((TALES / "held_out.txt").read_text()[:400])
    seen, out = export(made("w8"), f"tflite:{flavour}", tmp_path, "--eval", text, "--against", TALES, "--context", 64,
                       "--prefill", 64, "--calibration", TALES / "calibration.txt", "--windows", 2, "--tokens", 64)
    ids = run_json("tokenize", TALES, "--file", text)["ids"][:64]
    kl = divergence(logits_of_nibble(TALES, tmp_path, ids=ids)[:-1], TfliteFile(out / "model.tflite").logits(ids)[0][:-1])
    assert seen["loss"]["kl_mean"] == pytest.approx(kl, rel=.02)
    assert ("kl_added" in seen["round_trip"]) == (flavour == "uint8")


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
        assert sum("misreads" in note for note in seen["notes"]) == expected


def test_the_cards_head_is_yaml(tmp_path):
    for name in ("a/b\nlicense: mit", "a b/c", "null", "/a/b", "./a/b", "a/b: c"):
        done = run("export", TALES, "--to", "gguf", "-o", tmp_path / "out", "--base-model", name, code=2)
        assert "--base-model" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


MIT = "MIT License\n\nCopyright (c) 2026 Somebody\n\n" + """Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
APACHE = (ROOT / "LICENSE").read_text()
OTHER = "---\nlanguage: en\nlicense: other\nlicense_name: \"some-1.0\"\nlicense_link: https://a.b/c\ntags: [x]\n---\n# Model\n"


# Files of the source -> the head's lines about its licence.
@pytest.mark.parametrize("files,lines", [
    ({}, []),
    ({"LICENSE": APACHE}, ["license: apache-2.0"]),
    ({"license.txt": MIT}, ["license: mit"]),
    ({"LICENSE": "Modified " + MIT}, []),
    ({"LICENSE": MIT + "\nExcept on Sundays.\n"}, []),
    ({"LICENSE": APACHE.replace("worldwide", "local")}, []),
    ({"LICENSE": MIT, "LICENSE-APACHE": APACHE}, []),
    ({"README.md": "---\nlicense: gemma\n---\n", "LICENSE": "Terms of use\n"}, ["license: gemma"]),
    ({"README.md": "---\nlicense: mit\n---\n", "LICENSE": APACHE}, []),
    ({"README.md": "license: mit\n"}, []),
    ({"README.md": "---\nlicense: [mit, gemma]\n---\n"}, []),
    ({"README.md": OTHER}, ["license: other", 'license_name: "some-1.0"', 'license_link: "https://a.b/c"'])])
def test_the_licence_where_it_is_certain(tmp_path, files, lines):
    source = Folder(tmp_path / "model").path
    for name, text in files.items():
        (source / name).write_text(text)
    _, out = export(source, "gguf:f16", tmp_path)
    head = (out / "README.md").read_text().split("---\n")[1].splitlines()
    assert [line for line in head if line.startswith("license")] == lines


def test_licences_and_chat_templates_go_along(tmp_path):
    source = Folder(tmp_path / "model").path
    (source / "additional_chat_templates").mkdir()
    copied = {"license.txt": APACHE, "Notice": "So noted.\n", "additional_chat_templates/tool_use.jinja": "{{ messages }}"}
    for name, text in copied.items():
        (source / name).write_text(text)
    run("quantize", source, "-o", tmp_path / "a", "--scheme", "w4g32", "--method", "rtn")
    _, out = export(tmp_path / "a", "gguf", tmp_path)
    for folder in (tmp_path / "a", out):
        assert all((folder / name).read_text() == text for name, text in copied.items())
    assert "\nlicense: apache-2.0\n" in (out / "README.md").read_text()

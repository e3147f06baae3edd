"""nibble export --with-consumer: what it says without the consumer, with one that answers, and with those that fail."""
import json
import sys

import pytest
from nibble import ROOT, TALES, run, run_json
from test_export import export, made  # noqa: F401 (made is a fixture)

TESTS = ROOT / "tests"
TEXT = ["--eval", TALES / "held_out.txt", "--tokens", 1100, "--against", TALES, "--with-consumer"]

# What consumer.py uses of onnxruntime, over tests/onnx_files.py: our own evaluation of such a graph.
RUNTIME = """
import pathlib, sys
sys.path.append({tests!r})
from onnx_files import OnnxFolder, all_of

__version__ = "by nibble's tests"


class SessionOptions:
    def __init__(self):
        self.entries = dict()

    def add_session_config_entry(self, key, value):
        self.entries[key] = value


class Input:
    def __init__(self, name, value):
        shape, = all_of(all_of(all_of(value, 2)[0], 1)[0], 2)
        self.name, self.shape = name, [(all_of(d, 1) or ["varies"])[0] for d in all_of(shape, 1)]


class InferenceSession:
    def __init__(self, path, options, providers):
        assert options.entries["session.qdq_matmulnbits_accuracy_level"] == "1"  # as this evaluation has float inputs
        self.graph = OnnxFolder(pathlib.Path(path).parent)

    def get_inputs(self):
        return [Input(*pair) for pair in self.graph.inputs.items()]

    def run(self, names, fed):
        out = self.graph.run(**fed)
        return [out[name] for name in names]
"""
# A program in place of Python: reads the question, answers with this.
PROGRAM = """#!{python}
import json, sys
question = json.load(sys.stdin)
out = sys.stdout.buffer
{body}
out.flush()
"""


def program(path, body):
    path.write_text(PROGRAM.format(python=sys.executable, body=body))
    path.chmod(0o755)
    return path


def consumer_of(seen, out):
    """Of standard output; nibble.json must have the same."""
    assert json.loads((out / "nibble.json").read_text())["loss"] == seen["loss"]
    return seen["loss"]["consumer"]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without any package, whatever this machine has."""
    path = tmp_path_factory.mktemp("bare") / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("scheme,target,wanted", [
    ("w4g128", "onnx", "onnxruntime"), ("w4g32", "gguf", "llama_cpp_python"), ("w4g128", "gptq", "gptqmodel"),
    ("w4g128", "openvino", "openvino"), ("w8", "tflite", "ai-edge-litert"), ("w4g128", "torchscript", "torch"),
    ("w8", "bitsandbytes", "bitsandbytes"), ("w4g128", "compressed-tensors", "compressed-tensors")])
def test_not_found(made, tmp_path, bare, scheme, target, wanted):  # noqa: F811
    seen, out = export(made(scheme), target, tmp_path, *TEXT, "--python", bare)
    why = consumer_of(seen, out)["unknown"]
    assert why == f"{bare} has no {wanted}; --python names one that has"
    assert f"| loss in its consumer | unknown: {why} |" in (out / "README.md").read_text()
    assert "perplexity" in seen["loss"]


def test_nothing_runs_it(made, tmp_path, bare):  # noqa: F811
    seen, out = export(made("w4g128"), "tensorrt", tmp_path, *TEXT, "--python", bare)
    assert "knows no program that runs tensorrt" in consumer_of(seen, out)["unknown"]
    seen, out = export(made("w4g128"), "onnx", tmp_path, *TEXT, "--python", tmp_path / "no", "--force")
    assert "cannot be started" in consumer_of(seen, out)["unknown"]


def test_unasked_it_says_nothing(made, tmp_path):  # noqa: F811
    seen, out = export(made("w4g128"), "gptq", tmp_path, *TEXT[:-1])
    assert "consumer" not in seen["loss"] and "consumer" not in (out / "README.md").read_text()
    run("export", made("w4g128"), "--to", "gptq", "-o", tmp_path / "no", "--with-consumer", code=2)


# All of consumer.py's way with a graph, and nibble's with its logits: two evaluations of the file agree.
@pytest.mark.parametrize("target", ["onnx", "onnx:int8-dynamic"])
def test_the_loss_in_a_runtime(made, tmp_path, target, monkeypatch):  # noqa: F811
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "onnxruntime.py").write_text(RUNTIME.format(tests=str(TESTS)))
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen, out = export(made("w4g128"), target, tmp_path, *TEXT, "--python", sys.executable)
    theirs = consumer_of(seen, out)
    assert theirs["by"] == "onnxruntime by nibble's tests" and theirs["tokens"] == 1022
    wanted = run_json("eval", made("w4g128"), "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 1100,
                      "--activations", "float")
    if target == "onnx":
        assert theirs["kl_mean"] == pytest.approx(wanted["kl_mean"], rel=1e-3) and theirs["top1"] == wanted["top1"]
    else:  # rounded inputs and weights; one scale for all tokens of a call there, of each token here
        assert wanted["kl_mean"] < seen["loss"]["kl_mean"] < theirs["kl_mean"] < .1
    for key in ("perplexity", "reference_perplexity"):
        assert theirs[key] == pytest.approx(wanted[key], rel=1e-6 if target == "onnx" else .05)
    assert f"KL {theirs['kl_mean']:.5f}" in (out / "README.md").read_text()


ANSWER = 'out.write(json.dumps({"name": "toy 1", "vocab": %d}).encode() + b"\\n")\n'


@pytest.mark.parametrize("body,said", [
    ("", "gave no answer"), ('out.write(b"hello\\n")', "gave no answer"), ('out.write(b"[1]\\n")', "gave no answer"),
    ('out.write(b"x" * 100000)', "gave no answer"), ('out.write(b"{}\\n")', "another number of logits"),
    (ANSWER % 7, "toy 1 gave another number of logits than the vocabulary's 2048"),
    (ANSWER % 2048 + "out.write(bytes(2048))", "toy 1 ended before its last logits"),
    (ANSWER % 2048 + "out.write(b'\\xff' * 4 * 2048 * sum(map(len, question['windows'])))", "no finite numbers"),
    ("import os; out.write(b'{\"failed\": \"KeyError: 3\"}\\n')", "KeyError: 3")])
def test_programs_that_fail(made, tmp_path, body, said):  # noqa: F811
    seen, out = export(made("w4g128"), "gptq", tmp_path, *TEXT, "--python", program(tmp_path / "python", body))
    assert said in consumer_of(seen, out)["unknown"]


def test_the_question(made, tmp_path):  # noqa: F811
    """Flat logits: the perplexity is the vocabulary."""
    asked = tmp_path / "asked.json"
    body = (f"open({str(asked)!r}, 'w').write(json.dumps(question))\n" + ANSWER % 2048
            + "out.write(bytes(4 * 2048 * sum(map(len, question['windows']))))")
    seen, out = export(made("w4g128"), "gptq", tmp_path, *TEXT, "--python", program(tmp_path / "python", body))
    assert consumer_of(seen, out)["perplexity"] == pytest.approx(2048)
    question = json.loads(asked.read_text())
    assert question["format"] == "gptq" and [len(ids) for ids in question["windows"]] == [512, 512]
    config = json.loads((TALES / "config.json").read_text())
    assert question["cache"][:2] == [config["num_hidden_layers"], config["num_key_value_heads"]]

"""What quantize promises of its artifact: the same bytes every time, whole or not at all."""
import json
import random
import shutil
import subprocess
import sys
import time

import pytest
from folders import Folder, read_safetensors
from nibble import ROOT, TALES, digest, run, run_json, start

RTN = ["quantize", TALES, "--scheme", "w4g128", "--method", "rtn"]
GPTQ = ["quantize", TALES, "--scheme", "w4g128-asym", "--method", "gptq",
        "--calibration", TALES / "calibration.txt"]


@pytest.fixture(scope="module")
def gptq(tmp_path_factory):
    """An undisturbed GPTQ job -> its folder and its seconds."""
    out = tmp_path_factory.mktemp("gptq") / "out"
    done = run(*GPTQ, "-o", out)
    return out, done.seconds


def tensors(folder):
    return read_safetensors(folder / "model.safetensors")


def test_json_tells_what_was_written(tmp_path):
    out = tmp_path / "out"
    seen = run_json(*RTN, "-o", out)
    assert seen["output"] == str(out) and seen["method"] == "rtn" and seen["scheme"] == "w4g128"
    assert seen["bpw"] == 4.125
    data = sum(len(raw) for _, _, raw in tensors(out).values())
    assert seen["file_bpw"] == pytest.approx(8 * data / 3672320, abs=1e-9)
    assert seen["peak_rss_anon_bytes"] > 0 and seen["seconds"] >= 0


def test_a_folders_name_may_end_in_a_slash(tmp_path):
    seen = run_json(*RTN, "-o", f"{tmp_path}/out/", "--export", "gptq:v1")
    assert seen["output"] == str(tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"out", "out-gptq-v1"}


def test_the_artifact_is_a_whole_model_folder(tmp_path):
    out = tmp_path / "out"
    run(*RTN, "-o", out)
    files = set(digest(out))
    assert {"config.json", "generation_config.json", "model.safetensors", "nibble.json",
            "tokenizer.json", "tokenizer_config.json"} <= files
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert (out / name).read_bytes() == (TALES / name).read_bytes()
    quantization = json.loads((out / "config.json").read_text())["quantization_config"]
    assert quantization["quant_method"] == "compressed-tensors"
    assert quantization["config_groups"]["group_0"]["weights"]["num_bits"] == 4
    seen = tensors(out)
    assert seen["model.layers.0.mlp.up_proj.weight_packed"][:2] == ("I32", [768, 32])
    assert seen["model.layers.0.mlp.up_proj.weight_scale"][:2] == ("F16", [768, 2])
    assert seen["model.embed_tokens.weight"] == tensors(TALES)["model.embed_tokens.weight"]


def test_nibble_json_holds_no_date_and_no_host(gptq):
    record = json.loads((gptq[0] / "nibble.json").read_text())
    text = json.dumps(record)
    assert "gptq" in text and "w4g128-asym" in text
    assert time.strftime("%Y-%m") not in text and str(TALES.parent) not in text
    with open("/etc/hostname", encoding="utf8") as f:
        assert f.read().strip() not in text


def test_twice_the_same_bytes(gptq, tmp_path):
    run(*GPTQ, "-o", tmp_path / "again")
    assert digest(tmp_path / "again") == digest(gptq[0])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_bytes_for_any_number_of_threads(threads, gptq, tmp_path):
    run(*GPTQ, "-o", tmp_path / "out", "-t", threads)
    assert digest(tmp_path / "out") == digest(gptq[0])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random model that is small enough to learn end to end within a second."""
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    subprocess.run([sys.executable, ROOT / "tools/make_random_llama.py", "--out", folder, "--tokenizer", f"{TALES}/",
                    *"--layers 3 --hidden 64 --mlp 160 --heads 4 --kv-heads 2 --vocab 2048".split()], check=True)
    return folder


# Half of the kills in a pass over the blocks alone, the rest where windows of the float model go along and where blocks
# and then the whole model learn.
@pytest.mark.parametrize("method, kills", [("gptq", 25), ("balanced", 13), ("best", 12)])
def test_killed_jobs_resume_to_the_same_bytes(method, kills, tiny, tmp_path):
    job = ["quantize", tiny if method == "best" else TALES, "--scheme", "w3g64-asym", "--method", method, "--calibration",
           TALES / "calibration.txt", "--windows", 16, "--window-length", 48, "-t", 1 if method == "best" else 2]
    undisturbed = run(*job, "-o", tmp_path / "whole")
    whole, out = digest(tmp_path / "whole"), tmp_path / "out"
    moments = random.Random(f"{method} 8")
    killed = resumed = 0
    while killed < kills:
        process = start(*job, "-o", out, "--resume")
        try:
            process.wait(moments.uniform(0, 1) * undisturbed.seconds)
        except subprocess.TimeoutExpired:
            killed += 1
        process.kill()
        process.communicate()
        resumed += any(tmp_path.glob("out.partial/block-*"))
        if out.exists():  # what stands under the final name is whole, and a new job begins
            assert digest(out) == whole
            shutil.rmtree(out)
    run(*job, "-o", out, "--resume")
    assert digest(out) == whole
    assert resumed > kills / 4  # blocks were found there
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "whole"]


def killed_midway(out):
    """A job that was killed when its first block was done."""
    job = start(*GPTQ, "-o", out)
    while job.poll() is None and not list(out.parent.glob("out.partial/block-*.nibble")):
        time.sleep(.001)
    job.kill()
    job.communicate()


def test_a_killed_job_without_resume_starts_anew(gptq, tmp_path):
    whole = gptq[0]
    out = tmp_path / "out"
    killed_midway(out)
    assert not out.exists()
    run(*GPTQ, "-o", out)
    assert digest(out) == digest(whole)


def test_resume_of_another_job_is_refused(gptq, tmp_path):
    out = tmp_path / "out"
    killed_midway(out)
    for half in tmp_path.glob("out.partial/*.tmp*"):
        half.unlink()  # the kill met the next block's writing
    before = digest(tmp_path)
    other = [arg if arg != "w4g128-asym" else "w3g128-asym" for arg in GPTQ]
    done = run(*other, "-o", out, "--resume", code=1)
    assert "w4g128-asym" in done.stderr and "w3g128-asym" in done.stderr
    assert digest(tmp_path) == before


def test_infinite_activations_are_named_by_layer_and_channel(tmp_path):
    model = Folder(tmp_path / "model")

    def overflow(tensors):
        dtype, shape, raw = tensors["model.layers.2.post_attention_layernorm.weight"]
        size = len(raw) // shape[0]
        infinity = {2: b"\x80\x7f", 4: b"\x00\x00\x80\x7f"}[size]
        assert dtype in ("BF16", "F32")
        tensors["model.layers.2.post_attention_layernorm.weight"] = (
            dtype, shape, raw[:37 * size] + infinity + raw[38 * size:])

    model.tensors(overflow)
    done = run("quantize", model.path, "-o", tmp_path / "out", *GPTQ[2:], "--windows", 8, code=1)
    last = done.stderr.splitlines()[-1]
    assert "model.layers.2.mlp.gate_proj" in last and "channel 37" in last and "infinite" in last
    assert not (tmp_path / "out").exists()


def test_dry_run_writes_nothing(tmp_path):
    done = run(*RTN, "-o", tmp_path / "out", "--dry-run")
    assert "4.125" in done.stdout and not list(tmp_path.iterdir())


def test_a_tied_head_becomes_one_of_its_own(tmp_path):
    out = tmp_path / "out"
    run(*RTN, "-o", out, "--head", "w8")
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    seen = tensors(out)
    assert seen["lm_head.weight"][:2] == ("I8", [2048, 256])
    assert seen["model.embed_tokens.weight"] == tensors(TALES)["model.embed_tokens.weight"]
    text = run_json("run", out, "-p", "Once upon a time", "-n", 8, "--temperature", 0)["text"]
    assert text.startswith(", there was")


def test_nothing_is_quantized_silently(tmp_path):
    """A float folder runs as float whatever run's default arithmetic is."""
    seen = run_json("run", TALES, "-p", "Once", "-n", 1)
    assert seen["activations"] == "float"


@pytest.mark.parametrize("scheme", ["w2g64-asym", "w3", "w4t", "w4g128-full", "w5g32", "w6g100",
                                    "w7-asym", "w8", "w8t"])
def test_every_kind_of_scheme_is_written_and_runs(scheme, tmp_path):
    out = tmp_path / "out"
    run("quantize", TALES, "-o", out, "--scheme", scheme)
    assert run_json("run", out, "-p", "Once upon a time", "-n", 4)["ids"]

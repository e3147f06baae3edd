"""Transforms, and 8-bit arithmetic on both sides: what they promise on a trained model, and when
outliers are planted in it."""
import array
import json
import shutil
import subprocess

import pytest
from folders import read_safetensors, write_safetensors
from nibble import SHARED, TALES, digest, needs_shared, run, run_json, start

TRAIN = SHARED / "data/tinystories/train.txt"
VALID = SHARED / "data/tinystories/valid.txt"
CALIBRATION = ["--calibration", TRAIN, "--windows", 8]


def made(out, *args, model=TALES):
    run("quantize", model, "-o", out, *args, timeout=600)
    return out


def measured(folder, kind, model=TALES, tokens=4000):
    return run_json("eval", folder, "--against", model, "--text", VALID, "--tokens", tokens,
                    "--activations", kind, timeout=600)


def tensors(folder):
    return read_safetensors(folder / "model.safetensors")


def scaled(raw, columns, chosen, exponent):
    """bfloat16 values whose chosen columns are multiplied by 2 ** exponent."""
    values = array.array("H", raw)
    for column in chosen:
        for i in range(column, len(values), columns):
            if values[i] & 0x7F80:
                values[i] += exponent * 128
    return values.tobytes()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """tales-3.7m whose norms have 8 channels 64 times as large and the linears behind them 64 times
    smaller columns there: powers of two, so it is the same function to the bit."""
    folder = tmp_path_factory.mktemp("planted") / "model"
    shutil.copytree(TALES, folder)
    stored = tensors(TALES)
    readers = {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"}
    for name, (dtype, shape, raw) in stored.items():
        part = name.split(".")[-2]
        exponent = 6 if "layernorm" in part else -6 if part in readers else 0
        stored[name] = (dtype, shape, scaled(raw, shape[-1], range(7, 232, 29), exponent))
    write_safetensors(folder / "model.safetensors", stored)
    return folder


@needs_shared
def test_smoothquant_and_llm_int8_survive_planted_outliers(planted, tmp_path):
    assert measured(planted, "float")["kl_mean"] < 1e-9
    kl = {}
    for name, model in (("plain", TALES), ("planted", planted)):
        for kind, args in (("rtn", []), ("smooth", ["--transforms", "smoothquant", *CALIBRATION]),
                           ("split", ["--method", "llm-int8"])):
            out = made(tmp_path / f"{name}-{kind}", "--scheme", "w8", *args, model=model)
            kl[name, kind] = measured(out, "int8-token")["kl_mean"]
    assert kl["planted", "smooth"] < 2 * kl["plain", "smooth"]
    assert kl["planted", "split"] < 2 * kl["plain", "split"]
    assert kl["planted", "rtn"] > 20 * kl["plain", "rtn"]


@needs_shared
def test_static_inputs_need_scales_and_obey_them(tmp_path):
    plain = made(tmp_path / "plain", "--scheme", "w8")
    done = run("eval", plain, "--text", VALID, "--tokens", 600, "--activations", "int8-static",
               code=1)
    assert "input_scale" in done.stderr and "--input-ranges" in done.stderr
    top1 = {}
    for rule in ("minmax", "percentile", "entropy", "mse"):
        out = made(tmp_path / rule, "--scheme", "w8", "--transforms", "smoothquant",
                   "--input-ranges", rule, "--float-inputs", "down_proj", *CALIBRATION)
        assert tensors(out)["model.layers.2.mlp.up_proj.input_scale"][:2] == ("F32", [1])
        seen = measured(out, "int8-static")
        assert "24 of 28" in seen["arithmetic"] and "static" in seen["arithmetic"]
        top1[rule] = seen["top1"]
    assert min(top1.values()) > .95, top1


@needs_shared
def test_float_inputs_and_threshold_are_recorded_and_obeyed(tmp_path):
    out = made(tmp_path / "out", "--scheme", "w8", "--method", "llm-int8", "--float-inputs",
               "down_proj,layers.0.self_attn.q_proj")
    record = json.loads((out / "nibble.json").read_text())
    assert record["int8_threshold"] == 6
    assert record["float_inputs"] == ["down_proj", "layers.0.self_attn.q_proj"]
    assert "23 of 28" in measured(out, "int8-token", tokens=600)["arithmetic"]
    record["int8_threshold"] = 1e9
    (out / "nibble.json").write_text(json.dumps(record))
    assert measured(out, "int8-token")["kl_mean"] > 0


def test_llm_int8_takes_eight_bits(tmp_path):
    done = run("quantize", TALES, "-o", tmp_path / "out", "--method", "llm-int8", code=2)
    assert "w8" in done.stderr and not list(tmp_path.iterdir())


@needs_shared
@pytest.mark.parametrize("transforms", ["smoothquant", "awq", "rotate", "rotate,smoothquant,awq"])
def test_transformed_artifacts_are_ordinary_folders(transforms, tmp_path):
    """The float parts of the artifact and its codes make the float model again, nearly."""
    out = made(tmp_path / "out", "--scheme", "w8g32", "--transforms", transforms, *CALIBRATION)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert {p.name for p in out.iterdir()} == {p.name for p in made(
        tmp_path / "plain", "--scheme", "w8g32").iterdir()}
    record = json.loads((out / "nibble.json").read_text())
    assert record["recipe"]["transforms"] == transforms
    seen = tensors(out)
    assert seen["model.norm.weight"][0] == "BF16"
    rotated = "rotate" in transforms
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is not rotated
    assert ("lm_head.weight" in seen) == rotated
    assert measured(out, "float", tokens=1500)["kl_mean"] < 2e-4


@needs_shared
def test_awq_beats_rounding_and_composes_with_gptq(tmp_path):
    scheme = ["--scheme", "w3g128-asym"]
    kl = {}
    for name, args in (("rtn", []), ("awq", ["--method", "awq", *CALIBRATION]),
                       ("both", ["--method", "gptq", "--transforms", "awq", *CALIBRATION])):
        kl[name] = measured(made(tmp_path / name, *scheme, *args), "float")["kl_mean"]
    record = json.loads((tmp_path / "awq/nibble.json").read_text())
    assert record["recipe"]["rules"] == ["rest: w3g128-asym awq"]
    assert kl["both"] < .6 * kl["rtn"] and kl["both"] < kl["awq"] < .8 * kl["rtn"], kl


def test_bad_transform_options_are_refused(tmp_path):
    for args, word in ((["--transforms", "magic"], "smoothquant"),
                       (["--transforms", "awq,rotate"], "before"),
                       (["--alpha", "2"], "number"), (["--float-inputs", "../x"], "module")):
        done = run("quantize", TALES, "-o", tmp_path / "out", *args, code=2)
        assert word in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


@needs_shared
def test_transformed_jobs_resume_to_the_same_bytes(tmp_path):
    args = ["quantize", TALES, "--scheme", "w8", "--transforms", "rotate,smoothquant",
            "--input-ranges", "mse", *CALIBRATION]
    done = run(*args, "-o", tmp_path / "whole", "-t", 1)
    job = start(*args, "-o", tmp_path / "out")
    try:
        job.wait(timeout=.6 * done.seconds)
    except subprocess.TimeoutExpired:
        job.kill()
    job.communicate()
    if not (tmp_path / "out").exists():
        run(*args, "-o", tmp_path / "out", "--resume", "-t", 2)
    assert digest(tmp_path / "out") == digest(tmp_path / "whole")

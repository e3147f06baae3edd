"""Statistics on disk: gathered once, used by many jobs, refused by a model they are not of."""
import json

import pytest
from folders import Folder, read_safetensors
from nibble import TALES, digest, refused, run, run_json

WINDOWS = ["--calibration", TALES / "calibration.txt", "--windows", 8]
SCHEME = ["--scheme", "w3g64-asym"]


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibrate") / "statistics"
    seen = run_json("calibrate", TALES, "-o", out, *WINDOWS)
    assert seen["blocks"] == 4 and seen["tokens"] == 8 * 512
    assert seen["output"] == str(out) and seen["bytes"] > 0
    return out


def test_a_file_for_each_block(statistics):
    assert sorted(p.name for p in statistics.iterdir()) == [
        *(f"block-{b:05}.safetensors" for b in range(4)), "statistics.json"]
    seen = read_safetensors(statistics / "block-00003.safetensors")
    assert seen["down.hessian"][:2] == ("F32", [768 * 769 // 2])
    assert seen["qkv.absmax"][:2] == ("F32", [256])


def test_the_same_bytes_for_any_number_of_threads(statistics, tmp_path):
    run("calibrate", TALES, "-o", tmp_path / "again", *WINDOWS, "-t", 1)
    assert digest(tmp_path / "again") == digest(statistics)


def test_they_take_the_place_of_windows(statistics, tmp_path):
    errors = {}
    for method in ("rtn", "rtn-imatrix", "gptq", "balanced"):
        out = tmp_path / method
        run("quantize", TALES, "-o", out, *SCHEME, "--method", method, "--statistics", statistics)
        seen = run_json("eval", out, "--against", TALES, "--text", TALES / "calibration.txt",
                        "--tokens", 2048)
        errors[method] = seen["kl_mean"]
    assert errors["balanced"] < errors["gptq"] < .8 * errors["rtn"], errors
    assert errors["rtn-imatrix"] < errors["rtn"]
    record = json.loads((tmp_path / "gptq" / "nibble.json").read_text())
    assert record["calibration"]["statistics"]["tokens"] == 8 * 512


def test_the_same_artifact_for_any_number_of_threads(statistics, tmp_path):
    for threads in (1, 2):
        run("quantize", TALES, "-o", tmp_path / str(threads), *SCHEME, "--method", "balanced",
            "--statistics", statistics, "-t", threads)
    assert digest(tmp_path / "1") == digest(tmp_path / "2")


def test_statistics_of_another_model_are_refused(statistics, tmp_path):
    other = Folder(tmp_path / "other")
    other.config(rms_norm_eps=1e-4)
    refused("quantize", other.path, "-o", tmp_path / "out", *SCHEME, "--method", "gptq",
            "--statistics", statistics, words=["another model", statistics], leaves=tmp_path)


def test_broken_statistics_are_refused(statistics, tmp_path):
    refused("quantize", TALES, "-o", tmp_path / "out", *SCHEME, "--method", "gptq",
            "--statistics", tmp_path, words=["statistics.json"], leaves=tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    for p in statistics.iterdir():
        (broken / p.name).write_bytes(p.read_bytes())
    (broken / "block-00002.safetensors").write_bytes(b"no tensors")
    refused("quantize", TALES, "-o", tmp_path / "out", *SCHEME, "--method", "gptq",
            "--statistics", broken, words=["block-00002"], leaves=tmp_path)


def test_what_needs_windows_says_so(statistics, tmp_path):
    done = run("quantize", TALES, "-o", tmp_path / "out", *SCHEME, "--method", "gptaq",
               "--statistics", statistics, code=2)
    assert "gptaq needs the calibration windows" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(statistics):
    before = digest(statistics)
    refused("calibrate", TALES, "-o", statistics, *WINDOWS, words=["--force"])
    assert digest(statistics) == before

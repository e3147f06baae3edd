"""Sparse methods: exact zeros in ordinary codes."""
import json

import pytest
from folders import read_safetensors
from nibble import TALES, run, run_json

FEW = ["--calibration", TALES / "calibration.txt", "--windows", 8, "--scheme", "w4g128"]


def kl(folder):
    return run_json("eval", folder, "--against", TALES, "--text", TALES / "held_out.txt",
                    "--tokens", 2000)["kl_mean"]


@pytest.mark.parametrize("sparsity", ["0.5", "2:4"])
def test_sparsegpt_beats_wanda(sparsity, tmp_path):
    found = {}
    for method in ("sparsegpt", "wanda"):
        report = run_json("quantize", TALES, *FEW, "--method", method, "--sparsity", sparsity,
                          "-o", tmp_path / method)
        assert report["bpw"] == 4.125 and report["only_nibble_because"] == ""
        assert report["sparsity"] >= 0.495
        found[method] = kl(tmp_path / method)
    assert found["sparsegpt"] < found["wanda"]


@pytest.mark.parametrize("sparsity", ["0.7", "2:4"])
def test_bitmaps_are_smaller_and_compute_the_same(sparsity, tmp_path):
    reports = {}
    for form in ("dense", "bitmap"):
        reports[form] = run_json("quantize", TALES, *FEW, "--method", "sparsegpt", "--sparsity", sparsity,
                                 "--sparse-format", form, "-o", tmp_path / form)
    assert reports["bitmap"]["only_nibble_because"].startswith("sparse matrices")
    tensors = read_safetensors(tmp_path / "bitmap" / "model.safetensors")
    linears = [t["module"] for t in reports["bitmap"]["tensors"]]
    parts = ("weight_bitmap", "weight_kept", "weight_scale")
    stored = sum(len(tensors[f"{m}.{part}"][2]) for m in linears for part in parts)
    weights = sum(rows * 32 * words for m in linears for rows, words in [tensors[f"{m}.weight_bitmap"][1]])
    assert reports["bitmap"]["bpw"] == pytest.approx(8 * stored / weights)
    kept = 1 - reports["bitmap"]["sparsity"]
    assert reports["bitmap"]["bpw"] == pytest.approx(1 + 4 * kept + 16 / 128, abs=.02)
    assert not any(f"{m}.weight_packed" in tensors for m in linears)
    assert run_json("inspect", tmp_path / "bitmap")["stored"]["bpw"] == pytest.approx(reports["bitmap"]["bpw"])
    assert json.loads((tmp_path / "bitmap/nibble.json").read_text())["consumers"] == ["nibble"]
    for arithmetic in ("int8", "float"):
        a, b = (run_json("run", tmp_path / form, "-p", "Once upon a time", "-n", 24, "--temperature", 0,
                         "--activations", arithmetic)["ids"] for form in reports)
        assert a == b
    assert kl(tmp_path / "bitmap") == kl(tmp_path / "dense")


def test_wrong_usage(tmp_path):
    done = run("quantize", TALES, *FEW, "--method", "wanda", "--sparsity", "most", "-o",
               tmp_path / "out", code=2)
    assert "not a sparsity" in done.stderr

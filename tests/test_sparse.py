"""Sparse methods: exact zeros in ordinary codes."""
import pytest
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


def test_wrong_usage(tmp_path):
    done = run("quantize", TALES, *FEW, "--method", "wanda", "--sparsity", "most", "-o",
               tmp_path / "out", code=2)
    assert "not a sparsity" in done.stderr

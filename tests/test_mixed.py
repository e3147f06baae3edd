"""Mixed precision: bits chosen by measured sensitivity under a budget."""
import json
import re
import xml.etree.ElementTree as xml

import pytest
from nibble import TALES, digest, run, run_json

FEW = ["--calibration", TALES / "calibration.txt", "--windows", 4, "--window-length", 128,
       "--method", "rtn-imatrix"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    report = run_json("quantize", TALES, *FEW, "--target-bpw", 4.25, "-o", folder / "out",
                      "--pareto", folder / "front.svg")
    return folder, report


def test_the_budget_holds_and_is_used(mixed):
    folder, report = mixed
    assert 4.1 < report["bpw"] <= 4.25
    assert report["bpw"] == pytest.approx(report["mixed"]["chosen"]["bpw"])
    assert len(set(t["scheme"] for t in report["tensors"])) > 1
    # q, k and v are one item, gate and up another.
    scheme = {t["module"]: t["scheme"] for t in report["tensors"]}
    for layer in range(4):
        at = f"model.layers.{layer}."
        assert len({scheme[at + f"self_attn.{m}_proj"] for m in "qkv"}) == 1
        assert scheme[at + "mlp.gate_proj"] == scheme[at + "mlp.up_proj"]


def test_the_front_falls_and_lies_below_uniform(mixed):
    front = mixed[1]["mixed"]["front"]
    assert len(front) > 10
    for a, b in zip(front, front[1:]):
        assert a["bpw"] < b["bpw"] and a["kl"] > b["kl"]
    for uniform in mixed[1]["mixed"]["uniform"]:
        assert min(p["kl"] for p in front if p["bpw"] <= uniform["bpw"] * 1.02) <= uniform["kl"]


def test_the_picture_is_whole(mixed):
    text = (mixed[0] / "front.svg").read_text()
    words = [t.text for t in xml.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "bits per weight" in words and any("KL" in w for w in words)
    assert "w4g128-asym" in words and not re.search(r"href|url\(", text)


def test_the_artifact_is_its_own_recipe(mixed, tmp_path):
    out = mixed[0] / "out"
    run("quantize", TALES, "--recipe", out / "nibble.json", *FEW[:2], "-o", tmp_path / "out")
    assert digest(tmp_path / "out") == digest(out)


def test_a_size_with_the_embedding(tmp_path):
    report = run_json("quantize", TALES, *FEW, "--target-size", "2.1MB", "--embedding", "auto",
                      "--groups", 64, "-o", tmp_path / "out")
    assert 1.9e6 < report["bytes"] <= 2.1e6
    record = json.loads((tmp_path / "out/nibble.json").read_text())
    assert any(rule.startswith("embedding: w") for rule in record["recipe"]["rules"])


@pytest.mark.parametrize("flags, words", [
    (["--target-bpw", 4, "--target-size", "1MB"], "give one of"),
    (["--target-size", "much"], "not a size"),
    (["--target-bpw", 4, "--preset", "fast"], "leave --recipe and --preset out"),
    (["--target-bpw", 4, "--head", "auto"], "--embedding auto"),
])
def test_wrong_usage(flags, words, tmp_path):
    done = run("quantize", TALES, *FEW, *flags, "-o", tmp_path / "out", code=2)
    assert words in done.stderr and not (tmp_path / "out").exists()

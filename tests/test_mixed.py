"""Mixed precision: bits chosen by measured sensitivity under a budget."""
import json
import re
import xml.etree.ElementTree as xml

import pytest
from nibble import SHARED, TALES, digest, needs_shared, refused, run, run_json
from test_export import gguf_tensors

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


BLOCKS = ["--calibration", TALES / "calibration.txt", "--windows", 8, "--window-length", 256, "--method", "rtn-imatrix"]


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """A GGUF file at the bits of q4_k_s, 4.54."""
    out = tmp_path_factory.mktemp("blocks") / "mix.gguf"
    return out, run_json("quantize", TALES, *BLOCKS, "--target-bpw", 4.54, "-o", out, timeout=300)


def types_of(tensors):
    return {n: kind for n, (kind, _, _) in tensors.items() if n.startswith("blk.") and "norm" not in n}


def test_block_types_of_a_gguf_file(blocks):
    out, report = blocks
    metadata, tensors = gguf_tensors(out)
    types = types_of(tensors)
    assert len(set(types.values())) > 1 and len(types) == 28
    # Q2_K to Q6_K, Q8_0, IQ4_XS; the embedding is what q4_k_m makes of it, Q6_K.
    assert set(types.values()) <= {10, 11, 12, 13, 14, 8, 23} and tensors["token_embd.weight"][0] == 14
    for layer in range(4):
        assert types[f"blk.{layer}.ffn_gate.weight"] == types[f"blk.{layer}.ffn_up.weight"]
    sizes = {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 8: 272, 23: 136}  # bytes of 256 weights
    weights = {n: tensors[n][1][0] * tensors[n][1][1] for n in types}
    stored = sum(count // 256 * sizes[types[n]] for n, count in weights.items())
    assert 8 * stored / sum(weights.values()) == pytest.approx(report["bpw"]) and 4.4 < report["bpw"] <= 4.54
    assert report["mixed"]["chosen"]["bpw"] == pytest.approx(report["bpw"])
    assert report["mixed"]["chosen"]["bytes"] == report["bytes"]
    assert [u["scheme"] for u in report["mixed"]["uniform"]] == ["q2_k", "q3_k", "iq4_xs", "q4_k", "q5_k", "q6_k", "q8_0"]
    assert "embedding: q6_k rtn" in json.loads(metadata["nibble.origin"])["recipe"]["rules"]


def test_the_mix_loses_less_than_one_type(blocks, tmp_path):
    run("quantize", TALES, *BLOCKS, "--scheme", "q4_k", "-o", tmp_path / "q4_k.gguf")
    one, mix = (run_json("eval", model, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 4000)
                for model in (tmp_path / "q4_k.gguf", blocks[0]))
    assert gguf_tensors(tmp_path / "q4_k.gguf")[1]["token_embd.weight"][0] == 14
    assert mix["kl_mean"] <= one["kl_mean"]


@needs_shared
@pytest.mark.parametrize("model, kinds", [("qwen2", {2, 6, 7, 8, 20}), ("mixtral", {2, 6, 7, 8, 20})])
def test_block_types_of_rows_that_are_no_blocks_of_256(tmp_path, model, kinds):
    out = tmp_path / "m"
    run("quantize", SHARED / "models/golden" / model, "-o", out, "--scheme", "q4_k_m", "--target-bpw", 6, "--method",
        "rtn-imatrix", "--windows", 4, "--window-length", 32)
    types = types_of(gguf_tensors(out / "model.gguf")[1])
    down = {kind for name, kind in types.items() if "ffn_down" in name}
    assert down <= {0, 1, 30}  # rows of 176 are whole blocks of none
    assert {kind for name, kind in types.items() if not re.search("ffn_down|bias|gate_inp", name)} <= kinds
    run("logits", out, "--ids", "1,5,9", "-o", tmp_path / "l.safetensors")


@pytest.mark.parametrize("flags, words", [
    (["--scheme", "w4"], "takes schemes of its own"), (["--groups", 64], "have groups of their own"),
    (["--method", "hqq"], "hqq cannot round to q4_k_m"), (["--input-ranges", "minmax"], "no place"),
    (["--split-size", "1MB"], "give -o a folder")])
def test_what_a_file_cannot_be_is_known_before_measuring(flags, words, tmp_path):
    done = run("quantize", TALES, "--target-bpw", 4, "-o", tmp_path / "x.gguf", *flags, code=2)
    assert words in done.stderr and "measurement" not in done.stderr and not list(tmp_path.iterdir())


@needs_shared
def test_a_family_without_gguf_is_refused_before_measuring(tmp_path):
    refused("quantize", SHARED / "models/golden/opt", "--target-bpw", 6, "-o", tmp_path / "x.gguf", words=["opt"])


@pytest.mark.parametrize("flags, words", [
    (["--target-bpw", 4, "--target-size", "1MB"], "give one of"),
    (["--target-size", "much"], "not a size"),
    (["--target-bpw", 4, "--preset", "fast"], "leave --recipe and --preset out"),
    (["--target-bpw", 4, "--head", "auto"], "--embedding auto"),
])
def test_wrong_usage(flags, words, tmp_path):
    done = run("quantize", TALES, *FEW, *flags, "-o", tmp_path / "out", code=2)
    assert words in done.stderr and not (tmp_path / "out").exists()

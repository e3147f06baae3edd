"""Known figures: perplexities, losses and greedy texts that other programs found."""

import pytest
from nibble import SHARED, TALES, needs_shared, run, run_json

VALID = SHARED / "data/tinystories/valid.txt"
STORIES = SHARED / "models/stories260K"
PROMPT = "Once upon a time"


def greedy(model, count):
    return run_json("run", model, "-p", PROMPT, "-n", count, "--temperature", 0)["text"]


def test_tales_writes_the_text_of_its_readme():
    text = (", there was a little girl named Lily. She loved to play with her toys and eat tasty food. "
            "One day, she saw a big, red ball in the yard. Lily was very happy and wanted to play with "
            "it.")
    assert greedy(TALES, 70).startswith(text)


@needs_shared
def test_stories260k_writes_the_text_of_its_source_md():
    text = (", there was a little girl named Lily. She loved to play outside in the park. One day, she "
            "saw a big, red ball. She wanted to play with it, but it was too high.")
    assert greedy(STORIES, 100).startswith(text)


@needs_shared
def test_tales_perplexity_is_that_of_transformers():
    seen = run_json("eval", TALES, "--text", VALID, "--tokens", 40000)
    assert seen["windows"] == 78
    assert seen["perplexity"] == pytest.approx(7.0579, rel=1e-4)


@needs_shared
@pytest.mark.parametrize("scheme, bpw, kl, top1, perplexity", [
    ("w4g128", 4.125, .02083, .9249, 7.1812), ("w4g128-asym", 4.15625, .01768, .9307, None)])
def test_loss_of_round_to_nearest(scheme, bpw, kl, top1, perplexity, tmp_path):
    out = tmp_path / "out"
    run("quantize", TALES, "-o", out, "--scheme", scheme, "--method", "rtn")
    seen = run_json("eval", out, "--against", TALES, "--text", VALID, "--tokens", 40000)
    assert seen["activations"] == "float" and seen["bpw"] == bpw
    assert seen["kl_mean"] == pytest.approx(kl, rel=.02)
    assert seen["top1"] == pytest.approx(top1, abs=.001)
    assert seen["reference_perplexity"] == pytest.approx(7.0579, rel=1e-4)
    assert seen["ratio_low"] < seen["perplexity_ratio"] < seen["ratio_high"]
    assert seen["kl_mean"] < seen["kl_p99"] < seen["kl_max"]
    if perplexity:
        assert seen["perplexity"] == pytest.approx(perplexity, rel=1e-4)


@needs_shared
@pytest.mark.parametrize("text, size, tokens, perplexity, tolerance", [
    ("tinystories/valid.txt", 60000, None, 4.2757, 2e-3),
    ("wikitext-2/wiki.valid.raw", 30066, None, 180.7, 2e-3)])
def test_stories260k_perplexity(text, size, tokens, perplexity, tolerance, tmp_path):
    """The stated figures score the last, short window too, which bos-windows drops."""
    part = tmp_path / "text.txt"
    part.write_bytes((SHARED / "data" / text).read_bytes()[:size])
    seen = run_json("eval", STORIES, "--text", part)
    assert seen["perplexity"] == pytest.approx(perplexity, rel=tolerance)


def test_a_model_against_itself_loses_nothing():
    seen = run_json("eval", TALES, "--against", TALES, "--text", TALES / "held_out.txt",
                    "--tokens", 5000)
    assert seen["kl_mean"] == 0 and seen["top1"] == 1 and seen["perplexity_ratio"] == 1


def test_max_increase_decides_the_exit_code(tmp_path):
    out = tmp_path / "out"
    run("quantize", TALES, "-o", out, "--scheme", "w3g128-asym", "--method", "rtn")
    args = ["eval", out, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 5000]
    run(*args, "--max-increase", "50%")
    run(*args, "--max-increase", "0.1%", code=1)

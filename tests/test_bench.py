"""nibble bench: what it measures and prints. Never how fast: the machine may be doing anything else."""
import os
import re

import pytest
from nibble import TALES, needs_shared, run, run_json
from test_golden import GOLDEN

QUICK = ["bench", TALES, "--runs", 3, "--warmup", 1]


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "w4g32"
    run("quantize", TALES, "-o", out, "--scheme", "w4g32", "--method", "rtn", "--head", "w8")
    return out


def test_rows_and_head():
    seen = run_json(*QUICK, "-p", 64, "-n", 16)
    assert [test["test"] for test in seen["tests"]] == ["pp64", "tg16"]
    assert seen["activations"] == "float" and seen["cache"] == "f32" and not seen["pinned"]
    for key in ("load_seconds", "first_token_seconds", "resident_anonymous_bytes",
                "resident_file_bytes", "read_bandwidth_bytes_per_second", "read_bytes_per_token"):
        assert seen[key] > 0, key
    assert "energy_meter" in seen


def test_spread_and_shares():
    for test in run_json(*QUICK, "-p", 64, "-n", 16)["tests"]:
        rate = [test["tokens_per_second" + end] for end in ("_min", "_q1", "", "_q3", "_max")]
        assert rate[0] > 0 and rate == sorted(rate)
        assert len(test["seconds"]) == 3
        limit = test["read_limit_bytes_per_second"]
        assert 0 < limit["min"] <= limit["median"] <= limit["max"]
        assert test["bandwidth_share"] == pytest.approx(
            test["read_bytes_per_second"] / limit["median"], rel=1e-6)


def test_batches_and_depths():
    tests = run_json(*QUICK, "-p", 0, "-n", 4, "--batch", "1,3", "--depth", "0,70")["tests"]
    assert [test["test"] for test in tests] == ["tg4", "tg4 x3", "tg4 @70", "tg4 x3 @70"]
    assert [test["tokens"] for test in tests] == [4, 12, 4, 12]
    one, three, deep, three_deep = (test["read_bytes"] for test in tests)
    # Weights are read once for all sequences, each reads its own keys and values.
    assert three_deep - three == 3 * (deep - one) > 0 and three < 3 * one


def test_a_narrow_cache_reads_less():
    full, half = (run_json(*QUICK, "-p", 0, "-n", 4, "--depth", 64, "--cache", cache)["tests"][0]
                  for cache in ("f32", "f16"))
    assert full["read_bytes"] > half["read_bytes"]


def test_profile_covers_the_time(quantized):
    seen = run_json("bench", quantized, "-p", 32, "-n", 4, "--runs", 2, "--warmup", 0, "--profile")
    assert seen["activations"] == "int8" and seen["kernels"] != "float"
    for test in seen["tests"]:
        operators = {o["operator"]: o for o in test["operators"]}
        assert {"q, k, v", "attention", "gate, up", "down", "head", "the rest"} <= set(operators)
        assert sum(o["time_share"] for o in test["operators"]) == pytest.approx(1)
        passes = 2 if test["test"] == "pp32" else 2 * 4
        assert operators["head"]["calls"] == passes
        assert operators["down"]["calls"] == passes * 4
        assert operators["down"]["macs"] == 2 * test["tokens"] * 4 * 256 * 768
        assert re.match(r"\d+ % of the time (reads|multiplies|is bound)", test["bottleneck"])
        assert operators["down"]["bytes"] > 0 and operators["the rest"]["bound"] == "-"


def decoding_allocates(model, *flags):
    tests = run_json("bench", model, "-p", 0, "-n", 4, "--batch", "1,3", "--runs", 3, "--warmup", 1, *flags)["tests"]
    return [test["allocations"] for test in tests]


def test_a_decode_step_allocates_nothing(quantized):
    assert decoding_allocates(quantized) == [0, 0]
    assert decoding_allocates(quantized, "--activations", "int8-token", "--cache", "int8") == [0, 0]
    assert decoding_allocates(TALES) == [0, 0]


@needs_shared
@pytest.mark.parametrize("model", ["bloom", "gpt2", "falcon-new", "gemma2", "gptj", "phi3"])
def test_a_decode_step_of_a_family_allocates_nothing(model):
    assert decoding_allocates(GOLDEN / model) == [0, 0]


@needs_shared
@pytest.mark.parametrize("model", ["llama", "mistral-window", "mixtral"])
def test_operators_read_what_the_row_counts(model):
    """Windows shorter than the sequence, and experts, of which 40 tokens choose each."""
    seen = run_json("bench", GOLDEN / model, "-p", 40, "-n", 4, "--depth", 40, "--runs", 2, "--warmup", 0, "--profile")
    for test in seen["tests"]:
        assert sum(o["bytes"] for o in test["operators"]) == 2 * test["read_bytes"], test["test"]


def test_tables_in_markdown(quantized):
    out = run("bench", quantized, "-p", 8, "-n", 2, "--runs", 1, "--warmup", 0, "--profile").stdout
    tables = [line.count("|") for line in out.splitlines() if line.startswith("|")]
    assert set(tables) == {10, 11}
    assert "| pp8 |" in out and "| tg2 |" in out and "| attention |" in out
    assert out.count(" % of the time ") == 2
    assert "no meter" in out or "energy: " in out
    assert "first token" in out and "resident" in out and "GB/s" in out


def test_without_a_multiply_loop_the_peak_is_unknown(quantized):
    env = os.environ | {"NIBBLE_KERNELS": "reference"}
    args = ["bench", quantized, "-p", 4, "-n", 1, "--runs", 1, "--warmup", 0, "--profile"]
    seen = run_json(*args, env=env)
    assert seen["kernels"] == "reference" and seen["mac_limit_per_second"] is None
    assert all(test["mac_share"] is None for test in seen["tests"])
    assert "multiply-accumulate unknown" in run(*args, env=env).stdout


@pytest.mark.parametrize("args", [
    ["-p", 0, "-n", 0], ["--batch", "1,x"], ["--batch", 0], ["--depth", "-1"], ["--cache", "f8"],
    ["--runs", 0],
], ids=lambda args: " ".join(map(str, args)))
def test_usage_errors(args):
    assert run("bench", TALES, *args, code=2).stdout == ""

"""What every command promises: help, versions, exit codes, JSON."""
import json
import os
import re

import pytest
from nibble import TALES, run, run_json

COMMANDS = ["inspect", "quantize", "eval", "run", "tokenize", "logits", "bench"]


def test_alone_it_teaches_all_commands():
    out = run().stdout
    assert all(re.search(rf"\b{command}\b", out) for command in COMMANDS)


def test_version():
    assert re.fullmatch(r"nibble \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    out = run("help", command).stdout
    assert command in out and "--" in out
    assert run(command, "--help").stdout == out


def test_help_names_the_options_of_run():
    out = run("help", "run").stdout
    for option in ("--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty", "--seed",
                   "--stop", "--ignore-eos", "--ids", "--json", "-p", "-n", "-c", "-t"):
        assert option in out, option


@pytest.mark.parametrize("args", [
    ["frobnicate"], ["run", "--no-such-option"], ["help", "frobnicate"],
    ["quantize", TALES, "--scheme", "w4g128"],
    ["quantize", TALES, "-o", "/nonexistent/x", "--scheme", "w9"],
    ["quantize", TALES, "-o", "/nonexistent/x", "--scheme", "w4", "--method", "magic"],
    ["run", TALES, "--temperature", "warm"], ["run", TALES, "--ids", "1,x"],
    ["eval", TALES, "--protocol", "folklore"], ["run", TALES, "-n", "-3"],
], ids=lambda args: " ".join(str(a) for a in args if a != TALES))
def test_usage_errors_end_with_2(args):
    done = run(*args, code=2)
    assert done.stdout == "" and done.stderr.strip()


def test_inspect_json():
    seen = run_json("inspect", TALES)
    assert seen["architecture"] == "llama" and seen["parameters"]["total"] == 3672320
    assert seen["stored"]["bpw"] == 16


def test_commands_take_the_embedded_model_by_default():
    assert run_json("inspect") == run_json("inspect", TALES)


def test_tokenize_there_and_back(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time")
    seen = run_json("tokenize", TALES, "-f", text)
    assert seen["ids"] == [0, 427, 437, 259, 395] and len(seen["pieces"]) == 5
    assert run_json("tokenize", TALES, "-f", text, "--no-special")["ids"] == [427, 437, 259, 395]
    ids = ",".join(map(str, seen["ids"][1:]))
    assert run("tokenize", TALES, "--decode", "--ids", ids).stdout.rstrip("\n") == "Once upon a time"
    alone = run_json("tokenize", TALES / "tokenizer.json", "-f", text, "--no-special")
    assert alone["ids"] == [427, 437, 259, 395]


def test_run_json_says_what_ran():
    seen = run_json("run", TALES, "-p", "Once upon a time", "-n", 8, "--temperature", 0)
    assert len(seen["ids"]) == 8 and seen["text"].startswith(", there was a")
    assert seen["activations"] in ("int8", "float")
    assert seen["load_seconds"] > 0 and seen["resident_anonymous_bytes"] > 0
    assert seen["resident_file_bytes"] > 0


def test_run_closes_with_load_and_memory():
    words = run("run", TALES, "-p", "Once upon a time", "-n", 2).stderr.splitlines()
    assert re.fullmatch(r"load: [\d.]+ s; resident: [\d.]+ MB anonymous, [\d.]+ MB of files", words[-1])


@pytest.mark.parametrize("cache", ["f32", "f16", "int8"])
def test_run_with_each_cache(cache):
    args = ["run", TALES, "-p", "Once upon a time", "-n", 8, "--temperature", 0]
    seen = run_json(*args, "--cache", cache)
    assert seen["cache"] == cache and seen["text"] == run_json(*args)["text"]


def test_packed_weights_are_kept_and_change_nothing(tmp_path):
    model, kept = tmp_path / "m", tmp_path / "kept"
    run("quantize", TALES, "-o", model, "--scheme", "w4g32", "--method", "rtn")
    args = ["run", model, "-p", "Once upon a time", "-n", 8, "--temperature", 0]
    assert "no such folder" in run(*args, "--packed", kept, code=1).stderr
    kept.mkdir()
    plain, first, again = (run_json(*args, *more)["ids"]
                           for more in ([], ["--packed", kept], ["--packed", kept]))
    assert plain == first == again
    (file,) = kept.glob("*.packed")
    file.write_bytes(file.read_bytes()[:1000])
    assert "delete it" in run(*args, "--packed", kept, code=1).stderr


def test_packed_weights_of_static_inputs_are_kept_apart(tmp_path):
    """A head has no stored range and stays float then, so that one thing less is packed."""
    model, kept = tmp_path / "m", tmp_path / "kept"
    run("quantize", TALES, "-o", model, "--scheme", "w8", "--method", "rtn", "--head", "w8", "--input-ranges",
        "minmax", "--calibration", TALES / "calibration.txt", "--windows", 2)
    kept.mkdir()
    for way in ("int8", "int8-static") * 2:
        args = ["run", model, "-p", "Once upon a time", "-n", 8, "--temperature", 0, "--activations", way]
        assert run_json(*args)["ids"] == run_json(*args, "--packed", kept)["ids"]
    assert len(list(kept.glob("*.packed"))) == 2


def test_run_reads_prompts_line_by_line():
    out = run("run", TALES, "-n", 4, "--temperature", 0, stdin=b"Once upon a time\nOnce upon a time\n")
    assert out.stdout.count(", there was a") == 2


def test_run_is_reproducible_by_its_seed():
    args = ["run", TALES, "-p", "Once upon a time", "-n", 30, "--temperature", 1]
    first, second, other = (run(*args, "--seed", seed).stdout for seed in (7, 7, 8))
    assert first == second != other


def test_run_stops_at_a_stop_string():
    args = ["run", TALES, "-p", "Once upon a time", "-n", 60, "--temperature", 0]
    whole = run_json(*args)["text"]
    assert "Lily" in whole
    assert run_json(*args, "--stop", "Lily")["text"] == whole[:whole.index("Lily")]


def test_logits_file(tmp_path):
    from folders import read_safetensors
    out = tmp_path / "l.safetensors"
    run("logits", TALES, "--ids", "0,427,437", "-o", out, "--hidden")
    tensors = read_safetensors(out)
    assert tensors["logits"][:2] == ("F32", [3, 2048])
    assert tensors["hidden_states"][:2] == ("F32", [5, 3, 256])


def test_inspect_cpu_tells_the_kernel_tables():
    seen = run_json("inspect", "--cpu")
    chosen = [table for table in seen["tables"] if table["chosen"]]
    assert [table["name"] for table in chosen] == [seen["chosen"]] and chosen[0]["runs_here"]
    assert seen["tables"][-1]["name"] == "reference" and seen["cores"] > 0
    text = run("inspect", "--cpu").stdout
    assert all(table["name"] in text for table in seen["tables"]) and "chosen: the best" in text
    forced = run_json("inspect", "--cpu", env=os.environ | {"NIBBLE_KERNELS": "reference"})
    assert forced["chosen"] == "reference" and forced["tables"][-1]["chosen"] == "NIBBLE_KERNELS"


@pytest.mark.parametrize("command", [["inspect", "--cpu"], ["run", TALES, "-p", "x", "-n", 1],
                                     ["bench", TALES, "-p", 1, "-n", 0]], ids=lambda c: c[0])
def test_unknown_kernels_are_refused(command):
    done = run(*command, code=1, env=os.environ | {"NIBBLE_KERNELS": "magic"})
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "NIBBLE_KERNELS=magic: no such kernel table" in done.stderr


def test_threads_are_pinned_or_it_says_why_not():
    one = run("run", TALES, "-p", "Once upon a time", "-n", 8, "--temperature", 0, "-t", 1, "--pin")
    assert one.stdout == run("run", TALES, "-p", "Once upon a time", "-n", 8, "--temperature", 0).stdout
    cores = len(os.sched_getaffinity(0))
    done = run("run", TALES, "-p", "x", "-t", cores + 1, "--pin", code=2)
    assert f"{cores + 1} threads cannot be pinned" in done.stderr


def test_json_goes_to_stdout_alone():
    json.loads(run("inspect", TALES, "--json").stdout)

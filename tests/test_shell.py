"""Completion, manual pages and nibble doctor, all made from the table of commands."""
import json
import re
import shutil
import subprocess

import pytest
from nibble import BINARY, run, run_json


def commands():
    return re.findall(r"^  ([a-z]+) ", run().stdout.split("Usage:")[1].split("MODEL is")[0], re.M)


def completed(*words):
    """What bash offers for the last of these words."""
    script = 'source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); ' \
             '_nibble; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, BINARY, "nibble", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes_commands_and_options():
    assert completed("qu") == ["quantize"]
    assert set(commands()) <= set(completed(""))
    assert completed("help", "be") == ["bench"]
    assert completed("quantize", "--meth") == ["--method"]
    assert {"--scheme", "--recipe", "--target-bpw"} <= set(completed("quantize", "--"))
    assert "--recipe" not in completed("eval", "--")


def test_bash_completes_files(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "my model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert completed("eval", "fol") == ["folder"]
    assert completed("eval", "my") == ["my model"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_option(shell):
    script = run("completion", shell).stdout
    for command in commands():
        assert re.search(rf"\b{command}\b", script)
    assert "method" in script and "target-bpw" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.encode(), check=True)


def test_completion_knows_three_shells():
    assert "tcsh" in run("completion", "tcsh", code=2).stderr


def test_man_pages_hold_what_help_says():
    for command in commands():
        page = run("man", command).stdout
        assert page.startswith(f".TH NIBBLE\\-{command.upper()} 1") or page.startswith(f".TH NIBBLE-{command.upper()} 1")
        for option in re.findall(r"^  (?:-\w,)?(--[\w-]+)", run("help", command).stdout, re.M):
            assert option.replace("-", "\\-") in page, (command, option)
    assert "nibble\\-quantize" in run("man").stdout
    assert "there is no command" in run("man", "frobnicate", code=2).stderr


def test_man_pages_are_roff():
    for command in commands():
        done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-cbou"], input=run("man", command).stdout, text=True,
                              capture_output=True, check=True)
        assert done.stderr == "" and "OPTIONS" in done.stdout


def test_doctor_names_what_it_sees():
    seen = {f["what"]: f for f in run_json("doctor")}
    assert {"processor", "kernels", "memory", "limits", "energy", "model", "exports"} <= set(seen)
    assert re.search(r"reads [\d.]+ GB/s", seen["limits"]["seen"])
    assert "gguf" in seen["exports"]["seen"]
    assert "tales-3.7m" in seen["model"]["seen"] and seen["model"]["advice"] == ""
    slow = {f["what"]: f for f in json.loads(run("doctor", "--json", env={"NIBBLE_KERNELS": "reference"}).stdout)}
    assert "slower" in slow["kernels"]["advice"]


def with_config(text, tmp_path, *args, code=0):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return run(*args, code=code, env={"NIBBLE_CONFIG": str(path)})


def bench_runs(text, tmp_path, *args):
    few = ["bench", "-p", "4", "-n", "0", "--warmup", "0", "--json"]
    return json.loads(with_config(text, tmp_path, *few, *args).stdout)


def test_config_file_gives_defaults(tmp_path):
    seen = bench_runs("threads: 1\nscheme: w8\nbench: {runs: 2}\n", tmp_path)
    assert (seen["threads"], seen["runs"]) == (1, 2)
    seen = bench_runs("threads: 1\nruns: 4\nbench:\n  runs: 2\n", tmp_path, "-t", "2", "--runs=3")
    assert (seen["threads"], seen["runs"]) == (2, 3)
    seen = bench_runs("runs: 4\nbench:\n  runs: 2\n", tmp_path)
    assert seen["runs"] == 2


def test_config_file_turns_flags_on(tmp_path):
    assert json.loads(with_config("json: true\n", tmp_path, "inspect").stdout)["architecture"] == "llama"
    assert "llama" in with_config("json: false\n", tmp_path, "inspect").stdout
    assert with_config("", tmp_path, "inspect").stdout == run("inspect").stdout


@pytest.mark.parametrize("text, words", [
    ("thread: 2\n", "no command has an option --thread"), ("bench: {recipe: x}\n", "bench has no option --recipe"),
    ("- 1\n", "should be a map"), ("threads: [1]\n", "should have one value"), ("bench: 3\n", "should be a map"),
    ("threads: many\n", "many")])
def test_config_file_in_error(text, words, tmp_path):
    done = with_config(text, tmp_path, "bench", code=2)
    assert words in done.stderr and done.stdout == ""


def test_config_file_that_cannot_be_read(tmp_path):
    assert "config.yaml" in with_config("a: [", tmp_path, "inspect", code=1).stderr
    assert "no-such" in run("inspect", env={"NIBBLE_CONFIG": str(tmp_path / "no-such")}, code=1).stderr


def test_config_file_is_found_at_home(tmp_path):
    (tmp_path / ".config/nibble").mkdir(parents=True)
    (tmp_path / ".config/nibble/config.yaml").write_text("inspect: {json: true}\n")
    assert json.loads(run("inspect", env={"HOME": str(tmp_path)}).stdout)["layers"] == 4

"""nibble make: a whole job from one file, its gates, and going on where it stopped."""
import json
import os
import signal
import time

import pytest
from nibble import TALES, digest, run, run_json, start

JOB = """
model: {model}
output: out
quantize:
  rest: w4g128-asym {method}
  windows: 4
  window-length: 128
evaluate: {{text: {text}, tokens: 1200}}
gate: {gate}
export: {exports}
report: true
"""


def write_job(folder, gate="{max_increase: 5%, max_bytes: 3MB}", exports="[gguf, gptq]", method="gptq"):
    path = folder / "job.yaml"
    path.write_text(JOB.format(model=TALES, text=TALES / "held_out.txt", gate=gate, exports=exports, method=method))
    return path


def test_goes_the_whole_way_once(tmp_path):
    job = write_job(tmp_path)
    plan = run_json("make", job, "--dry-run")
    assert [s["step"] for s in plan] == ["quantize", "eval", "export gguf", "export gptq", "report"]
    assert not any(s["done"] for s in plan) and not (tmp_path / "out").exists()
    assert all(s["estimated"] and s["seconds"] > 0 for s in plan)
    seen = run_json("make", job)
    assert seen["passed"] and [s["step"] for s in seen["steps"]] == [s["step"] for s in plan]
    gates = {g["gate"]: g for s in seen["steps"] for g in s["gates"]}
    assert gates["max_increase"]["met"] and 0 < gates["max_increase"]["measured"] < .05
    assert gates["max_bytes"]["measured"] == seen["steps"][0]["result"]["bytes"]
    for made in ("model/nibble.json", "gguf/README.md", "gptq/config.json", "report.html", "report.md"):
        assert (tmp_path / "out" / made).is_file(), made
    # What it ran by itself gives the same.
    alone = tmp_path / "alone"
    run("quantize", TALES, "-o", alone, "--recipe", tmp_path / "out/recipe.yaml")
    assert digest(alone)["model.safetensors"] == digest(tmp_path / "out/model")["model.safetensors"]
    again = run_json("make", job)
    assert again == seen
    assert all(s["done"] and s["seconds"] > 0 and not s["estimated"] for s in run_json("make", job, "--dry-run"))


def test_a_dry_run_estimates_what_never_ran(tmp_path):
    """Of blocks by number, of windows that the model writes itself, of learning end to end; the clock as well."""
    job = write_job(tmp_path, gate="{max_ms_per_token: 1000}", exports="[gguf]", method="best")
    job.write_text(job.read_text().replace("  rest:", "  layers 3: w8 rtn\n  rest:").replace("windows: 4", "windows: 8"))
    text = run("make", job, "--dry-run", timeout=300).stdout
    *steps, basis = text.splitlines()
    assert len(steps) == 5 and all(line.startswith("to do") and "~" in line and " s  nibble " in line for line in steps)
    assert basis.startswith("~: estimated, timed now on the first 1 and 2 of 4 blocks; to do: about ")
    assert not (tmp_path / "out").exists()
    untimed = run_json("make", job, "--dry-run", "--untimed")
    assert all(s["seconds"] is None and not s["estimated"] for s in untimed)
    run("make", job, "--untimed", code=2)


def test_what_no_slice_can_tell_is_unknown(tmp_path):
    job = write_job(tmp_path)
    job.write_text(job.read_text().replace("  rest: w4g128-asym gptq", "  layers 0-2: w4 rtn\n  layers 3: w8 rtn"))
    text = run("make", job, "--dry-run").stdout
    assert "unknown  nibble quantize" in text and "unknown, and not estimated: quantize of a slice: nibble: " in text


def test_what_changes_is_made_again(tmp_path):
    run("make", write_job(tmp_path))
    plan = run_json("make", write_job(tmp_path, exports="[awq, gguf]"), "--dry-run", "--untimed")
    assert [(s["step"], s["done"]) for s in plan] == [("quantize", True), ("eval", True), ("export awq", False),
                                                      ("export gguf", True), ("report", True)]
    plan = run_json("make", write_job(tmp_path, method="rtn"), "--dry-run")
    assert not any(s["done"] for s in plan)
    run("make", write_job(tmp_path, method="rtn"))
    assert json.loads((tmp_path / "out/model/nibble.json").read_text())["recipe"]["rules"] == ["rest: w4g128-asym rtn"]


def test_a_missed_gate_ends_it(tmp_path):
    done = run("make", write_job(tmp_path, gate="{max_increase: 0.1%, max_bytes: 2MB}"), code=1)
    assert "gate max_bytes: 26" in done.stderr and "missed" in done.stdout
    assert not (tmp_path / "out/gguf").exists()
    done = run("make", write_job(tmp_path, gate="{max_increase: 0.1%, min_top1: 99%}"), code=1)
    assert "max_increase" in done.stderr and "min_top1" in done.stderr and "(before)" in done.stdout
    assert run_json("make", write_job(tmp_path, gate="{min_top1: 80%, max_ms_per_token: 1000}"))["passed"]


def test_goes_on_after_a_kill(tmp_path):
    job = write_job(tmp_path, method="balanced")
    child = start("make", job, start_new_session=True)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not list(tmp_path.glob("out/model.partial/block-*")):
        time.sleep(.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close(), child.stderr.close()
    done = run("make", job, "--json")
    assert json.loads(done.stdout)["passed"] and "--resume" in done.stderr


def test_what_a_killed_job_left_is_no_part_of_another(tmp_path):
    run("make", write_job(tmp_path))
    (tmp_path / "out/model.partial").mkdir()
    record = json.loads((tmp_path / "out/job.json").read_text())
    (tmp_path / "out/job.json").write_text(json.dumps({"begun": "another", "steps": {}}))
    done = run("make", write_job(tmp_path))
    assert "--resume" not in done.stderr
    assert json.loads((tmp_path / "out/job.json").read_text())["steps"].keys() == record["steps"].keys()


def test_a_failing_step_ends_it(tmp_path):
    done = run("make", write_job(tmp_path, exports="[gguf:q9_9]"), code=1)
    assert "q9_9" in done.stderr and "nibble export: failed" in done.stderr


@pytest.mark.parametrize("change, words", [
    (("quantize:", "quantise:"), '"quantise" is no key'), (("max_increase", "max_increse"), '"max_increse" is no key'),
    (("5%", "lots"), "gate: max_increase: should be a number, as 1%"), (("[gguf, gptq]", "gguf"), "should be a list"),
    (("evaluate:", "#"), "needs a text under evaluate"), (("3MB", "3 stones"), "should be a size"),
    (("tokens: 1200", "tokens: -1"), "should be a whole number above 0"), (("{max", "[max"), "job.yaml"),
    (("windows: 4", "windoes: 4"), "windoes")])
def test_a_bad_job(tmp_path, change, words):
    job = write_job(tmp_path)
    job.write_text(job.read_text().replace(*change))
    assert words in run("make", job, code=1).stderr


def test_a_job_needs_an_output(tmp_path):
    job = write_job(tmp_path)
    job.write_text(job.read_text().replace("output: out\n", ""))
    assert "give -o" in run("make", job, code=2).stderr
    assert run_json("make", job, "-o", tmp_path / "other", "--model", TALES, "--dry-run", "--untimed")[0]["command"][1] == str(TALES)
    assert "no such file" in run("make", tmp_path / "none.yaml", code=1).stderr.lower()

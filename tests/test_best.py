"""What quantize promises of learning end to end: held-back text decides, and the bytes do not depend on kills or threads."""
import json
import re
import time

import pytest
from folders import read_safetensors
from nibble import SHARED, TALES, digest, run, run_json, start

QUANTIZE = ["quantize", TALES, "--scheme", "w2g64-asym", "--method", "gptq", "--calibration", TALES / "calibration.txt",
        "--windows", 32, "--window-length", 256, "--distill-steps", 48]
BEST = [*QUANTIZE, "--distill", "codes"]


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    out = tmp_path_factory.mktemp("best") / "out"
    return out, run_json(*BEST, "-o", out)


def test_it_learned_and_says_how(best):
    out, seen = best
    learned = seen["distillation"]
    assert learned["kept"] and learned["kl_after"] < learned["kl_before"]
    assert learned["steps"] == 48 and learned["held_back_windows"] == 4
    assert learned["text_windows"] == 28 and learned["own_windows"] == 20
    assert any("learning end to end" in note for note in json.loads((out / "nibble.json").read_text())["notes"])
    gptq = out.parent / "gptq"
    run(*QUANTIZE, "-o", gptq, "--distill", "none")
    ours, theirs = (read_safetensors(f / "model.safetensors") for f in (out, gptq))
    changed = {name for name in ours if ours[name][2] != theirs[name][2]}
    assert any(name.endswith("weight_packed") for name in changed)
    assert any(name.endswith("weight_scale") for name in changed)
    assert not any("embed" in name for name in changed)


def test_scales_alone_leave_the_codes(best, tmp_path):
    out, _ = best
    kept = tmp_path / "kept"
    run(*QUANTIZE, "-o", kept, "--distill", "none")
    scales = tmp_path / "scales"
    seen = run_json(*QUANTIZE, "-o", scales, "--distill", "scales")
    assert seen["distillation"]["steps"] == 48
    before, after = (read_safetensors(f / "model.safetensors") for f in (kept, scales))
    assert all(before[n][2] == after[n][2] for n in before if n.endswith(("weight_packed", "zero_point")))


def test_one_thread_and_a_kill_give_the_same_bytes(best, tmp_path):
    out, _ = best
    again = tmp_path / "again"
    job = start(*BEST, "-o", again, "-t", 1)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (tmp_path / "again.partial" / "block-00003.nibble").exists():
        time.sleep(.01)
    time.sleep(.3)  # into the learning
    job.kill()
    job.wait()
    assert not again.exists()
    seen = run_json(*BEST, "-o", again, "--resume", "-t", 1)
    assert seen["blocks_resumed"] == 4
    assert digest(again) == digest(out)


def test_a_memory_limit_leaves_it_out_and_says_so(tmp_path):
    seen = run_json(*BEST, "-o", tmp_path / "out", "--max-memory", "100MB")
    assert seen["distillation"] is None
    assert any("left out" in note and "--max-memory" in note for note in seen["notes"])


@pytest.mark.parametrize("scheme, name, more", [("w2g64-asym", "out", ["--embedding", "w8"]), ("q2_k", "out.gguf", [])])
def test_the_embedding_stays_quantized(scheme, name, more, tmp_path):
    job = [scheme if part == "w2g64-asym" else part for part in QUANTIZE]
    run(*job, *more, "-o", tmp_path / name, "--distill", "none")
    plain = run_json("inspect", tmp_path / name)
    assert run_json(*job, *more, "-o", tmp_path / name, "--distill", "scales", "--force")["distillation"]["kept"]
    learned = run_json("inspect", tmp_path / name)
    assert learned["stored"]["dtypes"] == plain["stored"]["dtypes"]


def test_too_few_windows_are_refused(tmp_path):
    done = run(*BEST[:8], "--distill", "codes", "--windows", 4, "-o", tmp_path / "out", code=1)
    assert "too few" in done.stderr


def test_best_is_balanced_that_learns(tmp_path):
    # So many windows that what is held back judges alike whichever kernels BLAS has for the CPU.
    job = ["quantize", TALES, "--scheme", "w3g128-asym", "--calibration", TALES / "calibration.txt", "--windows", 24,
           "--window-length", 128, "--distill-steps", 12]
    run(*job, "--method", "best", "-o", tmp_path / "best")
    run(*job, "--method", "balanced", "--distill", "codes", "-o", tmp_path / "balanced")
    run(*job, "--method", "balanced", "-o", tmp_path / "start")
    best, same, start_codes = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("best", "balanced", "start"))
    assert best == same and best != start_codes


def test_autoround_keeps_what_helped_a_block(tmp_path):
    model = SHARED / "models/golden/llama"
    run("quantize", model, "--scheme", "w2g32-asym", "--method", "autoround", "-o", tmp_path / "out", "--windows", 64,
        "--window-length", 96)
    notes = [n for n in json.loads((tmp_path / "out/nibble.json").read_text())["notes"] if "squared error" in n]
    assert len(notes) == json.loads((model / "config.json").read_text())["num_hidden_layers"]
    for note in notes:
        before, after = map(float, re.search(r"([\d.e-]+) -> ([\d.e-]+)", note).groups())
        assert note.endswith(", kept") == (after < before)
    assert any(note.endswith(", kept") for note in notes)

"""What quantize promises of --max-memory: the bound holds, the bytes stay, and a bound that cannot hold is refused first."""
import os
import re
import resource
import subprocess
import sys

import pytest
from nibble import ROOT, TALES, digest, run, run_json

# What RLIMIT_DATA counts beside what is resident: the 128 MB that OpenBLAS reserves for one thread, of which it
# touches a fifth, and stacks. A second thread would add as much again, so these jobs run on one.
RESERVED = 192 << 20
# Each kind of allocation: a factor of H, the drift, copies of floats, a block that learns, zeros.
METHODS = ["rtn-imatrix", "gptq", "balanced", "autoround", "awq", "sparsegpt"]
SLOW = {"autoround": 4}  # windows where 48 take long


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random Llama whose widest Hessian, 9 MB, and whose windows, 38 MB, are more than the program's own needs."""
    folder = tmp_path_factory.mktemp("model") / "llama"
    subprocess.run([sys.executable, ROOT / "tools/make_random_llama.py", "--out", folder, "--tokenizer", f"{TALES}/",
                    "--layers", "1", "--hidden", "384", "--mlp", "1088", "--heads", "6", "--kv-heads", "2",
                    "--vocab", "2048"], check=True)
    return folder


def job(model, method, out):
    return ["quantize", model, "-o", out, "--scheme", "w4g32-asym", "--method", method, "--calibration",
            TALES / "calibration.txt", "--windows", SLOW.get(method, 48), "--window-length", 128, "-t", 1]


def limited(most):
    def apply():
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    return apply


def least(model, method, out):
    """What the program says that this job needs at least, in MB."""
    done = run(*job(model, method, out), "--max-memory", "1MB", code=1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("nibble: ")]
    assert len(lines) == 1 and done.seconds < 5
    return int(re.search(r"this job holds up to (\d+)MB", lines[0])[1])


@pytest.mark.parametrize("method", METHODS)
def test_the_bound_holds_and_the_bytes_stay(method, model, tmp_path):
    free = run_json(*job(model, method, tmp_path / "free"))
    assert not free["memory_plan"]["windows_on_disk"]
    assert free["peak_rss_anon_bytes"] <= free["memory_plan"]["bytes"]
    need = least(model, method, tmp_path / "bounded")
    assert not (tmp_path / "bounded.partial").exists()
    bounded = run_json(*job(model, method, tmp_path / "bounded"), "--max-memory", f"{need}MB",
                       env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, preexec_fn=limited(need * 1_000_000 + RESERVED))
    assert bounded["memory_plan"]["windows_on_disk"]
    assert bounded["peak_rss_anon_bytes"] <= need * 1_000_000
    assert bounded["vm_hwm_bytes"] >= bounded["peak_rss_anon_bytes"]
    if method not in SLOW:
        assert bounded["peak_rss_anon_bytes"] < free["peak_rss_anon_bytes"]
    assert digest(tmp_path / "bounded") == digest(tmp_path / "free")


def test_a_dry_run_tells_the_need(model, tmp_path):
    plan = run_json(*job(model, "gptq", tmp_path / "out"), "--dry-run")["memory_plan"]
    assert 0 < plan["least"] < plan["bytes"] and not list(tmp_path.iterdir())

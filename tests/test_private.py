"""What quantizes, measures and runs opens no socket and needs no network."""
import re
import shutil
import subprocess

import pytest
from folders import Folder
from nibble import BINARY, TALES, run

TEXT = ["--text", TALES / "held_out.txt", "--tokens", "600"]


def chat(out):
    model = Folder(out.with_name("model")).path
    (model / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    return ["chat", model, "-n", "4"]


def make(out):
    job = out.with_name("job.yaml")
    job.write_text(f"""
model: {TALES}
quantize:
  rest: w8 rtn
evaluate: {{text: {TALES / "held_out.txt"}, tokens: 600}}
gate: {{max_ms_per_token: 100000}}
export: [gguf]
report: true
""")
    return ["make", job, "-o", out]


JOBS = {
    "quantize": lambda out: ["quantize", TALES, "-o", out, "--scheme", "w4g128", "--method", "gptq", "--windows", "2",
                             "--window-length", "64", "--force"],
    "eval": lambda out: ["eval", TALES, "--text", TALES / "held_out.txt", "--tokens", "600"],
    "run": lambda out: ["run", TALES, "-p", "Once", "-n", "4"],
    "bench": lambda out: ["bench", TALES, "-p", "8", "-n", "2", "--runs", "1", "--warmup", "0"],
    "export": lambda out: ["export", TALES, "--to", "gguf", "-o", out, "--force"],
    "chat": chat,
    "calibrate": lambda out: ["calibrate", TALES, "-o", out, "--windows", "2", "--window-length", "64"],
    "dequantize": lambda out: ["dequantize", TALES, "-o", out],
    "logits": lambda out: ["logits", TALES, "--ids", "0,427", "-o", out],
    "make": make,
    "report": lambda out: ["report", TALES, "--against", TALES, *TEXT, "-o", out],
    "plan": lambda out: ["plan", TALES, "--device", "raspberry-pi-4", "--quick"],
}


def works(command):
    return shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("job", JOBS)
def test_without_any_network_interface(job, tmp_path):
    alone = ["unshare", "--net"] if works(["unshare", "--net"]) else ["unshare", "--user", "--net"]
    if not works(alone):
        pytest.skip("the host allows no network namespace")
    run(*JOBS[job](tmp_path / "out"), under=alone, stdin=b"Hi\n")


@pytest.mark.parametrize("job", JOBS)
def test_opens_no_socket(job, tmp_path):
    trace = tmp_path / "calls"
    strace = ["strace", "-f", "-o", trace, "-e", "trace=%network,execve"]
    if not works(strace):
        pytest.skip("strace is not here or not allowed")
    run(*JOBS[job](tmp_path / "out"), under=strace, stdin=b"Hi\n")
    calls = trace.read_text()
    # What strace shows when it sees anything at all.
    assert f'execve("{BINARY}"' in calls
    assert not re.findall(r"^(?:\d+ +)?(?:socket|connect)\w*\(.*", calls, re.MULTILINE)

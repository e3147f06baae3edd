"""Runs the nibble program the way a user does."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("NIBBLE", ROOT / "build/release/nibble"))
TALES = ROOT / "models/tales-3.7m"
SHARED = ROOT.parent / "shared"

# What a command says of its work before it meets the bad part of its input.
PROGRESS = re.compile(r"arithmetic: |(block|window) \d+/\d+ |calibration: ")

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")


def start(*args, **options):
    """Starts nibble without waiting for it."""
    return subprocess.Popen([BINARY, *map(str, args)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def run(*args, code=0, stdin=b"", timeout=120, under=(), **options):
    """Runs nibble, `under` another program where given, to its end, which must be `code` -> the
    finished process with its output as text and its seconds."""
    began = time.monotonic()
    done = subprocess.run([*under, BINARY, *map(str, args)], input=stdin, capture_output=True,
                          timeout=timeout, **options)
    done.seconds = time.monotonic() - began
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def run_json(*args, **options):
    return json.loads(run(*args, "--json", **options).stdout)


def digest(folder):
    """-> name: hash of every file below a folder."""
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(*args, words=(), leaves=None, **options):
    """Runs nibble on bad input: it must end with 1 within five seconds, its last message one line
    that says what is wrong where (all of `words`). Nothing new may stand in the folder `leaves`."""
    before = digest(leaves) if leaves else None
    done = run(*args, code=1, timeout=30, **options)
    assert done.seconds < 5
    errors = [line for line in done.stderr.splitlines() if not PROGRESS.match(line)]
    assert len(errors) == 1 and errors[0].startswith("nibble: "), done.stderr
    for word in map(str, words):
        assert word in errors[0], f"{word!r} is not in: {errors[0]}"
    if leaves:
        assert digest(leaves) == before, "something was left behind"

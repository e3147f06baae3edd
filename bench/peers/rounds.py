"""Runs the programs round by round: every round runs every subject once, so that a change of the
machine's pace falls on all of them; every other round goes backwards."""
import json
import os
import re
import subprocess
import sys
import time

# A prompt of llama.cpp's made-up vocabulary that is 5 tokens there, and as many ids for nibble.
FIRST_PROMPT, FIRST_IDS = "a", "1,5,6,7,8"


def output_of(command, env=None):
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{done.stderr[-4000:]}\ncompare: {command[0]} ended with {done.returncode}")
    return done.stdout, done.stderr


class Nibble:
    """One artifact. run() -> {"pp512": tokens/s, ..., "bytes": of a token at depth 0, "report"}."""

    def __init__(self, name, path, o):
        self.name, self.path, self.o = name, path, o
        self.env = os.environ | ({"NIBBLE_KERNELS": "avx2"} if o.avx2 else {})

    def run(self, prompt, depths):
        o = self.o
        out, _ = output_of([o.nibble, "bench", self.path, "-p", prompt, "-n", o.tokens, "--depth",
                            ",".join(map(str, depths)), "--cache", "f16", "--warmup", 1, "--runs", 1,
                            "-t", o.threads, "--json"], self.env)
        report = json.loads(out)
        return {"report": report} | {
            kind(t["tokens"] if t["test"].startswith("pp") else 0, t["depth"]): t["tokens_per_second"]
            for t in report["tests"]}

    def first_token(self):
        packed = self.o.cache / "packed"  # kept from the run before, as the page cache is
        packed.mkdir(parents=True, exist_ok=True)
        command = [self.o.nibble, "run", self.path, "--ids", FIRST_IDS, "-n", 1, "--temperature", 0,
                   "-t", self.o.threads, "--packed", packed]
        seconds, resident, _ = timed(command, self.env)
        return {"seconds": seconds, "resident": resident}


class Llama:
    """One GGUF file in llama.cpp (or ik_llama.cpp), with flash attention off and on."""

    def __init__(self, name, path, programs, o, extra=()):
        self.name, self.path, self.programs, self.o, self.extra = name, path, programs, o, extra

    def run(self, prompt, depths):
        o, results = self.o, {}
        jobs = [["-p", prompt, "-n", o.tokens]] + [["-p", 0, "-n", o.tokens, "-d", d]
                                                   for d in depths if d > 0]
        for job in jobs:
            out, _ = output_of([self.programs / "llama-bench", "-m", self.path, *job, "-fa", "0,1",
                                "-t", o.threads, "-r", 1, "-o", "json", *self.extra])
            for t in json.loads(out[out.index("["):]):
                row = kind(t["n_prompt"], t.get("n_depth", 0))
                results[f"{row} fa{int(t['flash_attn'])}"] = t["avg_ts"]
        return results

    def first_token(self):
        command = [self.programs / "llama-completion", "-m", self.path, "-p", FIRST_PROMPT, "-n", 1,
                   "-no-cnv", "--no-warmup", "-t", self.o.threads]
        seconds, resident, words = timed(command)
        tokens = re.search(r"prompt eval time = .*?/\s*(\d+) tokens", words)
        if tokens and int(tokens[1]) != FIRST_IDS.count(",") + 1:
            sys.exit(f"compare: llama.cpp reads {FIRST_PROMPT!r} as {tokens[1]} tokens, ours are "
                     f"{FIRST_IDS}")
        return {"seconds": seconds, "resident": resident}


def kind(prompt, depth):
    """The name of a measured row: "pp", "tg" or "tg@DEPTH"."""
    return "pp" if prompt else f"tg@{depth}" if depth else "tg"


def timed(command, env=None):
    """Runs a program to its end -> wall seconds, most resident bytes, what it said."""
    began = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
    words = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{words[-4000:]}\ncompare: {command[0]} ended with {child.returncode}")
    return seconds, usage.ru_maxrss * 1024, words


def measure(subjects, o):
    """subjects: (subject, prompt, depths, also the first token?) -> rounds, each {name: results}."""
    rounds = []
    for number in range(o.rounds):
        results = {}
        for subject, prompt, depths, first in subjects if number % 2 == 0 else subjects[::-1]:
            print(f"round {number + 1}/{o.rounds}: {subject.name}", file=sys.stderr, flush=True)
            results[subject.name] = subject.run(prompt, depths)
            if first:
                subject.first_token()  # files in the page cache, as after any earlier use
                results[subject.name]["first"] = subject.first_token()
        rounds.append(results)
    return rounds

#!/usr/bin/python3
"""How far the program's logits on GGUF files are from the golden ones: compare_gguf_goldens.py GOLDEN FOLDER [NIBBLE]

FOLDER holds NAME.gguf for folders GOLDEN/NAME (tools/make_gguf_goldens.py). Prints, for each, the
largest difference of a logit in standard deviations, with float arithmetic. Of models whose config says
what no GGUF file can, the reference is our own program on a folder that says the usual instead.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np


def read(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    types = {"F32": np.float32, "I32": np.int32}
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = np.frombuffer(data[begin:end], types[t["dtype"]]).reshape(t["shape"])
    return out


USUAL = {
    "gemma2": {"query_pre_attn_scalar": 32},  # the width of a head
    "gemma3": {"query_pre_attn_scalar": 32},
    "mistral-window": {"sliding_window": None},
}


def logits(nibble, model, ids, temp):
    """-> the logits, or what the program said."""
    run = subprocess.run([nibble, "logits", model, "--ids", ids, "-o", temp + "/l.safetensors"],
                         capture_output=True, text=True)
    return run.stderr.strip() if run.returncode else read(temp + "/l.safetensors")["logits"]


def usual(folder, changes, out):
    for name in os.listdir(folder):
        os.symlink(f"{folder}/{name}", f"{out}/{name}")
    with open(f"{folder}/config.json") as f:
        config = json.load(f) | changes
    os.remove(f"{out}/config.json")
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f)


def main():
    golden, folder = sys.argv[1:3]
    nibble = sys.argv[3] if len(sys.argv) > 3 else "build/release/nibble"
    worst = 0
    for file in sorted(os.listdir(folder)):
        name = file.removesuffix(".gguf")
        if name == file:
            continue
        want = read(f"{golden}/{name}/golden.safetensors")
        ids = ",".join(map(str, want["input_ids"]))
        with tempfile.TemporaryDirectory() as temp, tempfile.TemporaryDirectory() as copy:
            got, reference = logits(nibble, f"{folder}/{file}", ids, temp), want["logits"]
            if name in USUAL:
                usual(f"{golden}/{name}", USUAL[name], copy)
                reference = logits(nibble, copy, ids, temp)
        if isinstance(got, str) or isinstance(reference, str):
            print(f"{name:22} {got if isinstance(got, str) else reference}")
            worst = 1
            continue
        distance = np.abs(got - reference).max() / reference.std()
        worst = max(worst, distance)
        print(f"{name:22} {distance:.2e}{'  ' + json.dumps(USUAL[name]) if name in USUAL else ''}")
    sys.exit(int(worst > 1e-3))


if __name__ == "__main__":
    main()

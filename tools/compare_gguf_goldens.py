#!/usr/bin/env python3
"""How far the program's logits on GGUF files are from the golden ones: compare_gguf_goldens.py GOLDEN FOLDER [NIBBLE]

FOLDER holds NAME.gguf for folders GOLDEN/NAME (tools/make_gguf_goldens.py). Prints, for each, the
largest difference of a logit in standard deviations, with float arithmetic.
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
        with tempfile.TemporaryDirectory() as temp:
            run = subprocess.run([nibble, "logits", f"{folder}/{file}", "--ids", ids, "-o", temp + "/l.safetensors",
                                  "--activations", "float"], capture_output=True, text=True)
            if run.returncode:
                print(f"{name:22} {run.stderr.strip()}")
                worst = 1
                continue
            got = read(temp + "/l.safetensors")["logits"]
        distance = np.abs(got - want["logits"]).max() / want["logits"].std()
        worst = max(worst, distance)
        print(f"{name:22} {distance:.2e}")
    sys.exit(worst > 1e-3)


if __name__ == "__main__":
    main()

"""make_ggml_vectors.py: writes tests/ggml_blocks.json, random blocks of every type that nibble reads and
the floats that the gguf package makes of them, and tests/ggml_quantized.json, the blocks that it makes of
random floats. Needs a Python with gguf and numpy."""
import json
import pathlib

import gguf
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
HALVES = {  # where a block's fp16 numbers lie
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0],
}
QUANTIZED = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def quantized():
    floats = np.random.default_rng(2).normal(0, 0.1, 256).astype("<f4")
    floats[32:64] = 0
    floats[64] = -1.5  # a largest one of either sign
    floats[96] = 1.5
    out = {"floats": floats.tobytes().hex()}
    for name in QUANTIZED:
        out[name] = gguf.quants.quantize(floats, gguf.GGMLQuantizationType[name]).tobytes().hex()
    return out


def main():
    random, out = np.random.default_rng(1), {}
    for name, places in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (2, size), dtype=np.uint8)
        for place in places:
            scales = random.normal(0, 0.1, 2).astype(np.float16)
            blocks[:, place:place + 2] = scales.view(np.uint8).reshape(2, 2)
        values = gguf.quants.dequantize(blocks, kind).astype("<f4")
        assert values.size == 2 * elements and np.isfinite(values).all()
        out[name] = {"blocks": blocks.tobytes().hex(), "floats": values.tobytes().hex()}
    (TESTS / "ggml_blocks.json").write_text(json.dumps(out, indent=0) + "\n")
    (TESTS / "ggml_quantized.json").write_text(json.dumps(quantized(), indent=0) + "\n")


if __name__ == "__main__":
    main()

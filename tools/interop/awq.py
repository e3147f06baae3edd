"""AWQ in transformers with gptqmodel."""
import torch

from interop.exported import rows

NOISE = 1.5e-2  # of float16 activations and sums
KINDS = [("w4g128-asym", "awq"), ("w4g128", "awq"), ("w4g32-asym", "awq"), ("w4", "awq"), ("w3g64-asym", "awq")]
FAMILIES = ["qwen3", "phi3", "gemma"]


def check():
    yield from rows(KINDS, FAMILIES, "w4g16-asym", "awq", torch.float16, NOISE)

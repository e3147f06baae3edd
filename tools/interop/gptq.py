"""GPTQ in transformers with gptqmodel, whose kernels for the CPU compute in float16."""
import torch

from interop.exported import rows

NOISE = 1.5e-2  # of float16 activations and sums
KINDS = [("w2g64", "gptq"), ("w3g128", "gptq"), ("w4g128", "gptq"), ("w4g128", "gptq:v2"), ("w4", "gptq"),
         ("w4g128-full", "gptq"), ("w8g128", "gptq"), ("w4g128-asym", "gptq:v2"), ("w3g128-asym", "gptq"),
         ("w5g128", "gptq")]
FAMILIES = ["gpt-neox", "starcoder2", "phi", "bloom", "falcon-new", "gpt2"]  # the others have rows of 176


def check():
    yield from rows(KINDS, FAMILIES, "w4g32", "gptq", torch.float16, NOISE)

"""AWQ in transformers with gptqmodel."""
from interop.exported import rows
from interop.gptq import NOISE, logits

KINDS = [("w4g128-asym", "awq"), ("w4g128", "awq"), ("w4g32-asym", "awq"), ("w4", "awq"), ("w3g64-asym", "awq")]
FAMILIES = ["qwen3", "phi3", "gemma"]


def check():
    yield from rows(KINDS, FAMILIES, "w4g16-asym", "awq", logits, NOISE, "gptqmodel")

"""compressed-tensors exports in transformers; what the native artifact cannot show: eight bits packed."""
import torch

from interop.exported import as_it_is, rows

EXACT = 1e-4
KINDS = [("w8", "compressed-tensors:pack-quantized"), ("w8g128", "compressed-tensors:pack-quantized"),
         ("w8", "compressed-tensors"), ("w4g128", "compressed-tensors")]
FAMILIES = ["qwen3", "phi3", "gemma"]


def check():
    yield from rows(KINDS, FAMILIES, "w4g16", "compressed-tensors", as_it_is(torch.float32), EXACT)

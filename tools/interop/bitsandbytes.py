"""bitsandbytes in transformers. Its int8 rounds the activations too, which nibble's reading does not."""
import torch

from interop.exported import rows

NOISE = 1e-3       # float32, the order of sums
ROUNDED = 2.5e-1   # activations of 8 bits by row
KINDS = [("", "bitsandbytes:nf4"), ("", "bitsandbytes:nf4-double"), ("", "bitsandbytes:fp4"),
         ("", "bitsandbytes:fp4-double"), ("w4g128", "bitsandbytes")]
FAMILIES = ["qwen3", "phi3", "gemma", "gpt2"]


def check():
    yield from rows(KINDS, FAMILIES, "", "bitsandbytes:nf4", torch.float32, NOISE)
    yield from rows([("w8", "bitsandbytes")], [], "", "", torch.float32, ROUNDED)

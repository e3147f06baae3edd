"""compressed-tensors exports in transformers; what the native artifact cannot show: eight bits packed, and families."""
import torch

from interop.common import GOLDEN, fitting, models
from interop.exported import as_it_is, check_one

CONSUMER = "compressed-tensors"
EXACT = 1e-4
# "dequantize" multiplies in the type of the stored scales, float16: one rounding a weight, to 11 bits. So does
# transformers 5.23 with experts, which it packs into one tensor as it loads them (CompressedTensorsDequantize): with scales
# of float32 they are exact.
BY_F16 = 5e-3
EXPERTS = ["qwen3-moe"]
KINDS = [("w8", "compressed-tensors:pack-quantized"), ("w8g128", "compressed-tensors:pack-quantized"),
         ("w8", "compressed-tensors"), ("w4g128", "compressed-tensors"), ("w4g128 --scale-type f32", "compressed-tensors"),
         ("w4g128-asym", "compressed-tensors")]
FAMILIES = ["qwen3", "phi3", "gemma"]


def allowed(model, scheme):
    half = ("asym" in scheme or model.name in EXPERTS) and "f32" not in scheme
    return BY_F16 if half else EXACT


def check():
    for model in models():
        for scheme, target in KINDS:
            yield check_one(model, fitting(scheme, model), target, as_it_is(torch.float32), allowed(model, scheme), CONSUMER)
    for family in FAMILIES:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, "w4g16", "compressed-tensors", as_it_is(torch.float32), EXACT, CONSUMER)

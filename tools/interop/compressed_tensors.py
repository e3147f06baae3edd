"""compressed-tensors exports in transformers; what the native artifact cannot show: eight bits packed, inputs in eight bits,
and families."""
import torch

from interop.arrays import export, logits_of_nibble, loss_ratio, name_of, place, row
from interop.common import GOLDEN, fitting, models, refusal, texts_of
from interop.exported import as_it_is, check_one
from interop.logits import load_in_transformers, logits_of

CONSUMER = "compressed-tensors"
EXACT = 1e-4
# "dequantize" multiplies in the type of the stored scales, float16: one rounding a weight, to 11 bits. So does
# transformers 5.23 with experts, which it packs into one tensor as it loads them (CompressedTensorsDequantize): with scales
# of float32 they are exact.
BY_F16 = 5e-3
EXPERTS = ["qwen3-moe"]
KINDS = [("w8", "compressed-tensors"), ("w8g128", "compressed-tensors"), ("w8-asym", "compressed-tensors"),
         ("w4g128", "compressed-tensors"), ("w4g128 --scale-type f32", "compressed-tensors"),
         ("w4g128-asym", "compressed-tensors")]
# scheme, nibble's arithmetic that is the same: inputs with a scale for each token, with stored ones.
ROUNDED = [("w8", "int8-token"), ("w8 --input-ranges minmax", "int8-static")]
WINDOWS = 16  # of a ratio of KL
FAMILIES = ["qwen3", "phi3", "gemma"]


def allowed(model, scheme):
    half = ("asym" in scheme or model.name in EXPERTS) and "f32" not in scheme
    return BY_F16 if half else EXACT


def rounded(model, scheme, activations):
    """The KL to the float model, over that of nibble's reading of the same folder with the inputs that it states. (The
    package divides a token's largest value by 127.5, nibble and vLLM by 127.)"""
    target = "compressed-tensors:int-quantized"

    def body(work):
        _, out = export(model, scheme, target, work)
        loaded, misplaced = load_in_transformers(out, torch.float32)
        words, ratio, seen = loss_ratio(model, texts_of(model, WINDOWS), work, activations,
                                        lambda ids: logits_of_nibble(out, ids, work, activations),
                                        lambda ids: logits_of(loaded, [ids])[0].numpy())
        return (f"without {misplaced[0]}", float("inf")) if misplaced else (words, ratio, seen)
    return row(name_of(target, scheme, model) + ": KL ratio", 1.05, body, refusal(target, model),
               place(target, scheme, model, CONSUMER))


def check():
    for model in models():
        for scheme, target in KINDS:
            yield check_one(model, fitting(scheme, model), target, as_it_is(torch.float32), allowed(model, scheme), CONSUMER)
        for scheme, activations in ROUNDED:
            yield rounded(model, scheme, activations)
    for family in FAMILIES:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, "w4g16", "compressed-tensors", as_it_is(torch.float32), EXACT, CONSUMER)

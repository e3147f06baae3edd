"""GGUF files in transformers, which dequantizes them."""
import pathlib
import tempfile

import torch
from transformers import AutoModelForCausalLM

from interop.common import GOLDEN, TALES, Row
from interop.exported import export, texts_of
from interop.logits import difference, logits_of_nibble

EXACT = 1e-3  # float32: the order of sums, and exp, sin and cos
KINDS = [("", "gguf"), ("", "gguf:f32"), ("", "gguf:f16"), ("", "gguf:q8_0"), ("", "gguf:q6_k"), ("", "gguf:q5_k"),
         ("", "gguf:q5_1"), ("", "gguf:q5_0"), ("", "gguf:q4_k"), ("", "gguf:q4_1"), ("", "gguf:q4_0"),
         ("", "gguf:iq4_nl"), ("", "gguf:q3_k"), ("", "gguf:q2_k"), ("w4g32", "gguf"), ("w4g128-full", "gguf"),
         ("w4g32-asym", "gguf"), ("w4g32-asym", "gguf:q4_1"), ("w3g64-asym", "gguf"), ("w8g32", "gguf")]
FAMILIES = ["qwen2", "qwen3", "bloom", "gpt2", "starcoder2", "stablelm", "falcon-new", "phi3"]


@torch.no_grad()
def logits_of_transformers(folder, texts):
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32).eval()
    return torch.stack([model(torch.tensor([ids])).logits[0] for ids in texts])


def check_one(model, scheme, target):
    name = f"{target} {scheme} {model.name}".replace("  ", " ")
    with tempfile.TemporaryDirectory() as work:
        try:
            folder, texts = export(model, scheme, target, pathlib.Path(work)), texts_of(model)
            ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
            far = difference(logits_of_transformers(folder, texts), ours)
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)
    return Row(name, "yes", far <= EXACT, far, EXACT)


def check():
    for scheme, target in KINDS:
        yield check_one(TALES, scheme, target)
    for family in FAMILIES:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, "", "gguf:f32")

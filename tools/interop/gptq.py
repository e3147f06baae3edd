"""GPTQ in transformers with gptqmodel, whose kernels for the CPU compute in float16."""
import json
import shutil

import torch
from gptqmodel import GPTQModel

from consumers.consumer import plain_backend
from interop.common import TALES
from interop.exported import rows
from interop.logits import load_in_transformers, logits_of

NOISE = 1.5e-2  # of float16 activations and sums
KINDS = [("w2g64", "gptq"), ("w3g128", "gptq"), ("w4g128", "gptq"), ("w4g128", "gptq:v2"), ("w4", "gptq"),
         ("w4g128-full", "gptq"), ("w8g128", "gptq"), ("w4g128-asym", "gptq:v2"), ("w3g128-asym", "gptq"),
         ("w5g128", "gptq")]
FAMILIES = ["gpt-neox", "starcoder2", "phi", "bloom", "falcon-new", "gpt2"]  # the others have rows of 176

# Which transformers 5.23 cannot load whoever wrote them: optimum 2.3 replaces torch.nn.Linear by its exact type, and
# Falcon's are a subclass; GPT-2's initial values are then given to the `weight` that a replaced linear lacks.
OWN_LOADER = ["falcon", "gpt2"]


def own_loader(folder, texts):
    """gptqmodel's, which wants a tokenizer and does nothing with it here."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).exists():
            shutil.copy(TALES / name, folder / name)
    model = GPTQModel.load(str(folder), device="cpu", dtype=torch.float16).model.eval()
    return logits_of(model, texts), None, "by GPTQModel.load"


def logits(folder, texts):
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] in OWN_LOADER:
        return own_loader(folder, texts)
    options = plain_backend(config["quantization_config"])
    how = f"yes, by {options['quantization_config'].backend}" if options else "yes"
    model, misplaced = load_in_transformers(folder, torch.float16, **options)
    return logits_of(model, texts), f"without {misplaced[0]}" if misplaced else None, how


def check():
    yield from rows(KINDS, FAMILIES, "w4g32", "gptq", logits, NOISE)

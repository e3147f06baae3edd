"""GPTQ in transformers with gptqmodel, whose kernels for the CPU compute in float16."""
import json
import shutil

import torch
from gptqmodel import GPTQModel
from transformers import AwqConfig, GPTQConfig

from interop.common import TALES
from interop.exported import rows
from interop.logits import load_in_transformers, logits_of

NOISE = 1.5e-2  # of float16 activations and sums
KINDS = [("w2g64", "gptq"), ("w3g128", "gptq"), ("w4g128", "gptq"), ("w4g128", "gptq:v2"), ("w4", "gptq"),
         ("w4g128-full", "gptq"), ("w8g128", "gptq"), ("w4g128-asym", "gptq:v2"), ("w3g128-asym", "gptq"),
         ("w5g128", "gptq")]
FAMILIES = ["gpt-neox", "starcoder2", "phi", "bloom", "falcon-new", "gpt2"]  # the others have rows of 176

# Groups of 4 bits that gptqmodel's first choice for CPUs multiplies: torch's _weight_int4pack_mm_cpu has no others,
# and fails on them at the first token. gptqmodel's plain kernel takes all; the note of the export names it.
ATEN_GROUPS = [32, 64, 128, 256]
PLAIN = {"gptq": (GPTQConfig, "gptq_torch"), "awq": (AwqConfig, "torch_awq")}
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
    layout, options, how = config["quantization_config"], {}, "yes"
    if layout["bits"] == 4 and layout["group_size"] not in ATEN_GROUPS:
        kind, backend = PLAIN[layout["quant_method"]]
        options, how = {"quantization_config": kind(bits=4, backend=backend)}, f"yes, by {backend}"
    model, misplaced = load_in_transformers(folder, torch.float16, **options)
    return logits_of(model, texts), f"without {misplaced[0]}" if misplaced else None, how


def check():
    yield from rows(KINDS, FAMILIES, "w4g32", "gptq", logits, NOISE)

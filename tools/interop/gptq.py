"""GPTQ in transformers with gptqmodel, whose kernels for the CPU compute in float16."""
import atexit
import concurrent.futures
import functools
import json
import multiprocessing
import os
import shutil

import torch

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
# Falcon's are a subclass; GPT-2's initial values are then given to the `weight` that a replaced linear lacks; the experts
# of Qwen3 are one tensor there, gate_up_proj, which no file of linears has, and keep their initial values.
OWN_LOADER = ["falcon", "gpt2", "qwen3_moe"]


def quiet():
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)


@functools.cache
def elsewhere():
    """A process for GPTQModel.load, which leaves classes of its own in place of transformers' (defuser)."""
    pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), quiet)
    atexit.register(pool.shutdown)
    return pool


def loaded_elsewhere(folder, texts, options):
    from gptqmodel import GPTQModel
    return logits_of(GPTQModel.load(str(folder), device="cpu", dtype=torch.float16, **options).model.eval(), texts).numpy()


def own_loader(folder, texts, backend):
    """gptqmodel's, which wants a tokenizer and does nothing with it here."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).exists():
            shutil.copy(TALES / name, folder / name)
    options = {"backend": backend} if backend else {}
    return torch.tensor(elsewhere().submit(loaded_elsewhere, folder, texts, options).result())


def logits(folder, texts):
    config = json.loads((folder / "config.json").read_text())
    options = plain_backend(config["quantization_config"])
    backend = options["quantization_config"].backend if options else None
    how = f", by {backend}" if backend else ""
    if config["model_type"] in OWN_LOADER:
        return own_loader(folder, texts, backend), None, "by GPTQModel.load" + how
    how = "yes" + how
    model, misplaced = load_in_transformers(folder, torch.float16, **options)
    return logits_of(model, texts), f"without {misplaced[0]}" if misplaced else None, how


def check():
    yield from rows(KINDS, FAMILIES, "w4g32", "gptq", logits, NOISE, "gptqmodel")

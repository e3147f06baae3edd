"""The same folder's logits by nibble and by transformers."""
import contextlib
import io

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from interop.common import nibble


def logits_of_nibble(folder, ids):
    file = folder.parent / "logits.safetensors"
    nibble("logits", folder, "--ids", ",".join(map(str, ids)), "-o", file, "--activations", "float")
    return load_file(file)["logits"]


def load_in_transformers(folder, dtype, **options):
    """Loads the folder as it is -> the model, and the names of tensors that found no place."""
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    return model.eval(), [name for names in report.values() for name in names]


@torch.no_grad()
def logits_of(model, texts):
    with contextlib.redirect_stderr(io.StringIO()):
        return torch.stack([model(torch.tensor([ids])).logits[0].float() for ids in texts])


def logits_of_transformers(folder, texts, dtype=torch.float32):
    """-> logits, and the names of tensors that found no place; raises what transformers raises, be it at the first
    forward pass."""
    model, misplaced = load_in_transformers(folder, dtype)
    return logits_of(model, texts), misplaced


def difference(theirs, ours):
    return ((theirs - ours).abs().max() / ours.std()).item()

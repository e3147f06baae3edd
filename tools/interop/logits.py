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


@torch.no_grad()
def logits_of_transformers(folder, texts, dtype=torch.float32):
    """Loads the folder as it is -> logits, and the names of tensors that found no place;
    raises what transformers raises, be it at the first forward pass."""
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype,
                                                             output_loading_info=True)
        logits = torch.stack([model.eval()(torch.tensor([ids])).logits[0].float() for ids in texts])
    return logits, [name for names in report.values() for name in names]


def difference(theirs, ours):
    return ((theirs - ours).abs().max() / ours.std()).item()

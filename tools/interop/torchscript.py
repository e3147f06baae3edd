"""TorchScript archives in torch.jit.load: logits at once, token by token behind a cache and behind padding."""
import json
import warnings

import numpy as np
import torch
from safetensors.numpy import load_file

from interop.arrays import EXACT, export, logits_of_nibble, name_of, place, row
from interop.common import GOLDEN, TALES, fitting, models, nibble, texts_of
from interop.onnx import largest

KINDS = [("", "torchscript"), ("w4g128-asym", "torchscript"), ("w4", "torchscript"), ("w3g64", "torchscript"),
         ("w2g64-asym", "torchscript"), ("w8g32", "torchscript"), ("w4g64 --embedding w8 --head w4g64", "torchscript"),
         ("w4g128", "torchscript:f32")]


class Archive:
    """As interop.onnx.step takes it."""

    def __init__(self, folder, config):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.module = torch.jit.load(str(folder / "model.pt"))
        self.takes_positions = "position_ids" in str(self.module.forward.schema)
        self.layers, self.shape = config["layers"], (config["kv_heads"], config["head_dim"])

    def step(self, ids, past=None, mask=None):
        before = past[0].shape[2] if past else 0
        if mask is None:
            mask = np.ones((len(ids), before + ids.shape[1]), np.int64)
        places = np.maximum(mask.cumsum(1) - 1, 0)[:, before:]
        inputs = [torch.tensor(ids), torch.tensor(mask)] + [torch.tensor(places)] * self.takes_positions
        past = past or [torch.zeros(len(ids), self.shape[0], 0, self.shape[1])] * (2 * self.layers)
        with torch.no_grad():
            logits, present = self.module(*inputs, past)
        return logits.numpy(), present


def one(model, scheme, target="torchscript"):
    def body(work):
        source, out = export(model, scheme, target, work)
        config = json.loads(nibble("inspect", model, "--json"))
        archive = Archive(out, config)
        [ids] = texts_of(model, 1)
        wanted = logits_of_nibble(source, ids, work)
        if not scheme and (model / "golden.safetensors").is_file():
            golden = load_file(model / "golden.safetensors")
            ids, wanted = golden["input_ids"].tolist(), golden["logits"]
        return "torch.jit.load", *largest(archive, ids, wanted)
    return row(name_of(target, scheme, model), EXACT, body, place=place(target, scheme, model, "torch.jit"))


def check():
    """Of the other models every second kind: torch compiles a graph anew for each, ten seconds and more."""
    for model in models():
        for scheme, target in KINDS if model == TALES else KINDS[::2]:
            yield one(model, fitting(scheme, model), target)
    for folder in sorted(p for p in GOLDEN.glob("*") if p.is_dir()):
        yield one(folder, "")
        yield one(folder, "w4g16-asym")

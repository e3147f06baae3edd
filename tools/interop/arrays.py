"""What the checks without torch share: exports, nibble's logits as numpy's, their divergence."""
import contextlib
import io
import pathlib
import tempfile

import numpy as np
from safetensors.numpy import load_file

from interop.common import TALES, Row, nibble, outcome

EXACT = 1e-3  # float32: the order of sums, and exp, sin and cos


def logits_of_nibble(source, ids, work, activations="float"):
    file = work / "logits.safetensors"
    nibble("logits", source, "--ids", ",".join(map(str, ids)), "-o", file, "--activations", activations)
    return load_file(file)["logits"]


def export(model, scheme, target, work, *options):
    """-> what was exported, the exported folder."""
    source, out = model, work / "export"
    if scheme:
        source = work / "artifact"
        name, *more = scheme.split()
        if "--input-ranges" in more:
            more += ["--calibration", TALES / "calibration.txt"]
        nibble("quantize", model, "-o", source, "--scheme", name, "--method", "rtn", *more)
    nibble("export", source, "--to", target, "-o", out, *options)
    return source, out


def log_softmax(x):
    x = x.astype(np.float64) - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl(wanted, seen):
    p, q = log_softmax(wanted), log_softmax(seen)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def kl_means(model, texts, work, *candidates):
    """The mean KL to the float model over the texts of each candidate, ids -> logits."""
    seen = []
    for ids in texts:
        wanted = logits_of_nibble(model, ids, work)
        seen.append([kl(wanted, logits(ids)) for logits in candidates])
    return np.mean(seen, axis=0).tolist()


def name_of(target, scheme, model, *more):
    return " ".join(part for part in (target, scheme, model.name, *more) if part)


def row(name, allowed, body, words=None):
    """body(work folder) -> what the consumer did, difference. words: as `outcome` takes them."""
    def check():
        with tempfile.TemporaryDirectory() as work, contextlib.redirect_stderr(io.StringIO()):
            result, far = body(pathlib.Path(work))
        return Row(name, result, bool(far <= allowed), far, allowed)
    return outcome(name, words, check)

"""What the checks without torch share: exports, nibble's logits as numpy's, their divergence."""
import contextlib
import io
import pathlib
import tempfile

import numpy as np
from safetensors.numpy import load_file

from interop.common import TALES, Place, Row, Seen, flavour_of, models, nibble, outcome

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


def difference(theirs, ours):
    """The largest of any logit, in standard deviations."""
    return float(np.abs(theirs - ours).max() / ours.std())


def loss_ratio(model, texts, work, name, ours, theirs):
    """ours (named so), theirs: ids -> logits. -> their mean KLs to the float model over the texts in words, their ratio,
    what the table says of them."""
    losses, far = [], 0.
    for ids in texts:
        wanted, a, b = logits_of_nibble(model, ids, work), ours(ids), theirs(ids)
        losses.append([kl(wanted, a), kl(wanted, b)])
        far = max(far, difference(b, a))
    own, their = np.mean(losses, axis=0).tolist()
    return f"KL {their:.5f}, {name} {own:.5f}", their / own, Seen(far, ratio=their / own)


def name_of(target, scheme, model, *more):
    return " ".join(part for part in (target, scheme, model.name, *more) if part)


def place(target, scheme, model, consumer):
    """Of golden families none: the table has the models that every format writes in all its kinds."""
    return Place(target, scheme, model.name, consumer) if model in models() else None


def row(name, allowed, body, words=None, place=None):
    """body(work folder) -> what the consumer did, difference, and for a row of the table what it says there. words: as
    `outcome` takes them."""
    def check():
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            work = pathlib.Path(folder)
            result, far, *seen = body(work)
            if seen:
                seen[0].flavour = flavour_of(work / "export")
        return Row(name, result, bool(far <= allowed), far, allowed, seen=seen[0] if seen else None)
    return outcome(name, words, check, place)

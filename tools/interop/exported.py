"""Exports that are Hugging Face folders: written, loaded by transformers with the format's own package, and
compared with nibble's reading of the same folder."""
import contextlib
import io
import pathlib
import tempfile

import torch

from interop.arrays import kl, place
from interop.common import GOLDEN, Row, Seen, fitting, flavour_of, models, nibble, outcome, refusal, texts_of
from interop.logits import difference, load_in_transformers, logits_of, logits_of_nibble


def export(model, scheme, target, work):
    """-> the exported folder, or nibble's refusal."""
    source, out = model, work / "export"
    if scheme:
        source = work / "artifact"
        nibble("quantize", model, "-o", source, "--scheme", *scheme.split(), "--method", "rtn")
    nibble("export", source, "--to", target, "-o", out)
    return out


def as_it_is(dtype):
    """As `check_one` takes it: in transformers and this type, without another word."""
    def logits(folder, texts):
        model, misplaced = load_in_transformers(folder, dtype)
        return logits_of(model, texts), f"without {misplaced[0]}" if misplaced else None, "yes"
    return logits


def check_one(model, scheme, target, logits, allowed, consumer):
    """logits: folder, texts -> the consumer's, what is wrong with how it loaded them (or None), how it did."""
    name = f"{target} {scheme} {model.name}".replace("  ", " ")

    def check():
        with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(io.StringIO()):
            folder, texts = export(model, scheme, target, pathlib.Path(work)), texts_of(model)
            ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
            theirs, wrong, how = logits(folder, texts)
            flavour = flavour_of(folder)
        far = difference(theirs, ours)
        seen = Seen(far, kl(ours.numpy(), theirs.numpy()), flavour=flavour)
        return Row(name, wrong or how, not wrong and far <= allowed, far, allowed, seen=seen)
    return outcome(name, refusal(target, model, scheme), check, place(target, scheme, model, consumer))


def rows(kinds, families, scheme, target, logits, allowed, consumer):
    """Every model in all kinds (scheme, target), golden families in one."""
    for model in models():
        for kind, to in kinds:
            yield check_one(model, fitting(kind, model), to, logits, allowed, consumer)
    for family in families:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, scheme, target, logits, allowed, consumer)

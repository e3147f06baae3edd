"""TFLite files in LiteRT's interpreter: logits in steps of the prefill and token by token, greedy ids, and what rounding
the inputs costs beside nibble's own arithmetic."""
import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from safetensors.numpy import load_file

from interop.arrays import EXACT, difference, export, kl, logits_of_nibble, loss_ratio, name_of, place, row
from interop.common import GOLDEN, ROOT, TALES, Seen, fitting, models, nibble, texts_of, windows

sys.path.append(str(ROOT / "tests"))
from tflite_files import TfliteFile  # noqa: E402 (our own evaluation of such a file)

# scheme, target; all keep the artifact's integers or all but all of what they say, and LiteRT rounds the inputs.
KINDS = [("w8", "tflite"), ("w4", "tflite"), ("w4g32", "tflite"), ("w4g128", "tflite"), ("w4g64 --embedding w8 --head w8", "tflite"),
         ("w4g128-asym", "tflite:dynamic")]
# Weights that are rounded anew, or integers on both sides of linears.
ROUNDED = [("w8", "tflite:int8"), ("w8", "tflite:uint8"), ("w4g128-asym", "tflite:int4-block32")]
# XNNPACK's kernels, which LiteRT takes where they can, its own, and its reference, of which those of int4 rows are right
# where a code is -8 (the others take -8 for something else).
RESOLVERS = {"XNNPACK": OpResolverType.AUTO, "kernels": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
             "reference": OpResolverType.BUILTIN_REF}


class Model:
    def __init__(self, folder, resolver):
        self.interpreter = Interpreter(str(folder / "model.tflite"), experimental_op_resolver_type=RESOLVERS[resolver])
        self.prefill, self.decode = (self.interpreter.get_signature_runner(s) for s in ("prefill", "decode"))
        self.width = int(self.prefill.get_input_details()["tokens"]["shape"][1])

    def empty(self):
        return {name: np.zeros(d["shape"], np.float32)
                for name, d in self.decode.get_input_details().items() if name.startswith("kv_cache")}

    def step(self, ids, past, before):
        """-> logits of these ids behind so many, the cache."""
        rows = []
        for begin in range(0, len(ids), self.width):
            piece = ids[begin:begin + self.width]
            width = 1 if len(piece) == 1 else self.width
            tokens = np.array([piece + [0] * (width - len(piece))], np.int32)
            places = np.arange(before, before + width, dtype=np.int32)
            out = (self.decode if width == 1 else self.prefill)(tokens=tokens, input_pos=places, **past)
            rows.append(out.pop("logits")[0, :len(piece)])
            past, before = out, before + len(piece)
        return np.concatenate(rows), past

    def logits(self, ids):
        """The second half token by token."""
        half = len(ids) // 2
        first, past = self.step(ids[:half], self.empty(), 0)
        rows = [first]
        for place in range(half, len(ids)):
            logits, past = self.step(ids[place:place + 1], past, place)
            rows.append(logits)
        return np.concatenate(rows)

    def greedy(self, ids, count):
        logits, past = self.step(ids, self.empty(), 0)
        out = []
        for _ in range(count):
            out.append(int(logits[-1].argmax()))
            logits, past = self.step(out[-1:], past, len(ids) + len(out) - 1)
        return out


def with_shape(scheme, target, model, work, context, prefill):
    source, out = export(model, scheme, target, work, "--context", context, "--prefill", prefill)
    return source, out


def family(folder, resolver):
    def body(work):
        _, out = with_shape("", "tflite", folder, work, 128, 16)
        golden, model = load_file(folder / "golden.safetensors"), Model(out, resolver)
        ids, wanted = golden["input_ids"].tolist(), golden["logits"]
        # Sequences that turn otherwise while they are short differ from those of a fixed context.
        short = "original_max_position_embeddings" in json.loads((folder / "config.json").read_text())
        if not short and model.greedy(golden["greedy_prompt"].tolist(), 24) != golden["greedy_ids"].tolist():
            return "other greedy ids", float("inf")
        return "logits" if short else "logits, greedy ids", np.abs(model.logits(ids) - wanted).max() / wanted.std()
    return row(name_of("tflite", "", folder, resolver), EXACT, body)


def greedy_text(scheme, resolver):
    def body(work):
        source, out = with_shape(scheme, "tflite", TALES, work, 256, 32)
        prompt = json.loads(nibble("tokenize", source, "-p", "Once upon a time", "--json"))["ids"]
        ids = Model(out, resolver).greedy(prompt, 48)
        wanted = logits_of_nibble(source, prompt + ids, work)[len(prompt) - 1:-1].argmax(1).tolist()
        return "greedy ids", 0. if ids == wanted else float("inf")
    return row(name_of("tflite", scheme, TALES, resolver), 0., body)


def floats(model):
    def body(work):
        source, out = with_shape("", "tflite", model, work, 128, 16)
        [ids] = texts_of(model, 1)
        wanted = logits_of_nibble(source, ids, work)
        seen = Model(out, "XNNPACK").logits(ids)
        far = difference(seen, wanted)
        return "logits", far, Seen(far, kl(wanted, seen))
    return row(name_of("tflite", "", model, "XNNPACK"), EXACT, body, place=place("tflite", "", model, "LiteRT"))


def divergence(model, scheme, target, resolver):
    """The KL to the float model, over that of nibble's own arithmetic on the exported integers."""
    def body(work):
        source, out = with_shape(scheme, target, model, work, 256, 64)
        texts = windows(4, 192) if model == TALES else windows(2)
        loaded = Model(out, resolver)
        return loss_ratio(model, texts, work, "int8-token", lambda ids: logits_of_nibble(source, ids, work, "int8-token"),
                          lambda ids: loaded.step(ids, loaded.empty(), 0)[0])
    return row(name_of(target, scheme, model, resolver) + ": KL ratio", 1.05, body,
               place=place(target, scheme, model, "LiteRT"))


def rounded(model, scheme, target, resolver):
    """The KL to the float model, over that of the same file run by tests/tflite_files.py."""
    def body(work):
        ranges = [] if "block32" in target else ["--calibration", TALES / "calibration.txt", "--windows", 32]
        source, out = export(model, scheme, target, work, "--context", 128, "--prefill", 32, *ranges)
        texts = windows(4, 96) if model == TALES else windows(2)
        loaded, file = Model(out, resolver), TfliteFile(out / "model.tflite")
        return loss_ratio(model, texts, work, "ours", lambda ids: file.logits(ids)[0],
                          lambda ids: loaded.step(ids, loaded.empty(), 0)[0])
    return row(name_of(target, scheme, model, resolver) + ": KL ratio", 1.05, body,
               place=place(target, scheme, model, "LiteRT"))


def check():
    """The other models with XNNPACK alone, which LiteRT takes unless it is told otherwise."""
    for resolver in ("XNNPACK", "kernels"):
        yield greedy_text("", resolver)
        for scheme, target in ROUNDED:
            yield rounded(TALES, scheme, target, resolver)
    for scheme, target in KINDS:
        for resolver in ("XNNPACK", "reference" if scheme == "w4" else "kernels"):
            yield divergence(TALES, scheme, target, resolver)
    for model in models():
        yield floats(model)
    for model in models()[1:]:
        for scheme, target in ROUNDED:
            yield rounded(model, fitting(scheme, model), target, "XNNPACK")
        for scheme, target in KINDS:
            yield divergence(model, fitting(scheme, model), target, "XNNPACK")
    for folder in sorted(p for p in GOLDEN.glob("*") if p.is_dir()):
        yield family(folder, "XNNPACK")

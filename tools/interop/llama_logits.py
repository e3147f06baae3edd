"""llama.cpp on token ids: exported files of every model and flavour, by the log-probabilities that llama-perplexity keeps
for --kl-divergence (those of the second half of each window), against nibble's."""
import pathlib
import struct
import tempfile

import gguf
import numpy as np

from interop.arrays import EXACT, export, log_softmax, logits_of_nibble, name_of, place, row
from interop.common import TALES, Seen, fitting, models, refusal
from interop.llama_program import program

FLOATS = {"gguf:f32": EXACT, "gguf:f16": 5e-3, "gguf:bf16": 4e-2}  # inputs of linears are rounded to the file's type
# ggml's GELU is a table of float16 (GGML_GELU_FP16 in ggml-cpu/vec.h).
BY_TABLE, GELU = 5e-3, ["tales-bloom-2m", "bloom", "gemma"]
FLAVOURS = ["q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_k", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_k", "q4_1", "q4_0",
            "iq4_nl", "iq4_xs", "q3_k_l", "q3_k_m", "q3_k_s", "q3_k", "q2_k", "q2_k_s"]
INTEGERS = ["w4g32", "w4g32-asym", "w4g128-asym", "w8g32", "w3g64-asym"]
RATIO = 1.05  # issue 7
CONTEXT, CHUNKS = 512, 4


def saved(file, begin):
    """llama-perplexity's file -> [(ids of a window, log-probabilities from its middle on)]: 16 bits each, of the 16 nats
    below the largest."""
    raw, at = file.read_bytes(), len(b"_logits_")
    context, vocab, count = struct.unpack_from("<Iii", raw, at)
    ids = np.frombuffer(raw, "<i4", count * context, at + 12).reshape(count, context).copy()
    ids[:, 0] = begin  # in its place, once the file is written
    rows = np.frombuffer(raw, "<u2", offset=at + 12 + ids.nbytes).reshape(count, context - 1 - context // 2, -1)
    numbers = rows[..., :4].copy().view("<f4")
    return list(zip(ids.tolist(), numbers[..., 1:] + numbers[..., :1] * rows[..., 4:4 + vocab]))


def in_llama_cpp(path, text):
    out = path.with_name("logits.kld")
    program("llama-perplexity", "-m", path, "-f", text, "-c", CONTEXT, "-b", CONTEXT, "--chunks", CHUNKS, "-t", 2, "-fa", "off",
            "-ctk", "f32", "-ctv", "f32", "--kl-divergence-base", out)
    return saved(out, int(gguf.GGUFReader(path).fields["tokenizer.ggml.bos_token_id"].contents()))


def of_nibble(source, ids, work, activations="float"):
    return logits_of_nibble(source, ids, work, activations)[CONTEXT // 2:-1]


def farthest(theirs, ours, kept):
    """The largest difference of the log-probabilities that the file has, in standard deviations of our logits."""
    return float(np.abs(theirs - log_softmax(ours))[kept].max() / ours.std())


def same_logits(model, target, text):
    def body(work):
        _, out = export(model, "", target, work)
        far = moved = 0.
        for ids, theirs in in_llama_cpp(out / "model.gguf", text):
            ours, kept = of_nibble(out, ids, work), theirs > theirs.min(-1, keepdims=True)
            far = max(far, farthest(theirs, ours, kept))
            moved += divergence(ours, theirs, kept) / CHUNKS
        return "llama-perplexity", far, Seen(far, moved)
    allowed = max(FLOATS[target], BY_TABLE * (model.name in GELU))
    return row(name_of(target, "", model), allowed, body, refusal(target, model), place(target, "", model, "llama.cpp"))


def divergence(wanted, log_probabilities, kept):
    """KL over the tokens that the file has: what lies more than 16 nats below the largest stands in it as if it lay there,
    two thousand such tokens together as 2e-4 of the probability."""
    ours = log_softmax(wanted)
    return np.where(kept, np.exp(ours) * (ours - log_probabilities), 0).sum(-1).mean()


def same_loss(model, scheme, target, text):
    """The KL to the float model, over that of nibble's own evaluation of the file."""
    def body(work):
        _, out = export(model, scheme, target, work)
        ours = theirs = far = 0.
        for ids, logits in in_llama_cpp(out / "model.gguf", text):
            wanted, kept = of_nibble(model, ids, work), logits > logits.min(-1, keepdims=True)
            own = of_nibble(out, ids, work, "int8")
            theirs += divergence(wanted, logits, kept) / CHUNKS
            ours += divergence(wanted, log_softmax(own), kept) / CHUNKS
            far = max(far, farthest(logits, own, kept))
        return f"KL {theirs:.5f}, int8 {ours:.5f}", theirs / ours, Seen(far, ratio=theirs / ours)
    return row(name_of(target, scheme, model) + ": KL ratio", RATIO, body, refusal(target, model),
               place(target, scheme, model, "llama.cpp"))


def check():
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text.txt"  # special tokens are letters to llama-perplexity
        text.write_text((TALES / "held_out.txt").read_text()[:16000].replace("<|endoftext|>", "\n"))
        for model in models():
            for target in FLOATS:
                yield same_logits(model, target, text)
            for flavour in FLAVOURS:
                yield same_loss(model, "", f"gguf:{flavour}", text)
            for scheme in INTEGERS:
                yield same_loss(model, fitting(scheme, model), "gguf", text)

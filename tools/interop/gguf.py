"""GGUF files in transformers, which dequantizes them."""
import pathlib
import tempfile

import torch
from transformers import AutoConfig

from interop.arrays import kl, place
from interop.common import GOLDEN, Row, Seen, fitting, flavour_of, models, texts_of
from interop.exported import export
from interop.logits import difference, load_in_transformers, logits_of, logits_of_nibble

EXACT = 1e-3  # float32: the order of sums, and exp, sin and cos
KINDS = [("", "gguf"), ("", "gguf:f32"), ("", "gguf:f16"), ("", "gguf:bf16"), ("", "gguf:q8_0"), ("", "gguf:q6_k"),
         ("", "gguf:q5_k"), ("", "gguf:q5_1"), ("", "gguf:q5_0"), ("", "gguf:q4_k"), ("", "gguf:q4_1"),
         ("", "gguf:q4_0"), ("", "gguf:iq4_nl"), ("", "gguf:iq4_xs"), ("", "gguf:q3_k"), ("", "gguf:q2_k"),
         ("w4g32", "gguf"), ("w4g128-full", "gguf"), ("w4g32-asym", "gguf"), ("w4g32-asym", "gguf:q4_1"),
         ("w3g64-asym", "gguf"), ("w8g32", "gguf")]
FAMILIES = ["qwen2", "qwen3", "bloom", "gpt2", "starcoder2", "stablelm", "falcon-7b-style", "falcon-new", "phi3"]

# What transformers 5.23 does not read of these families' files (GGUF_CONFIG_MAPPING, modeling_gguf_pytorch_utils.py)
# and llama.cpp does; from_pretrained then refuses the file, and with the source's config.json loads it.
UNREAD = {
    "qwen3": "head width",        # attention.key_length: takes Qwen3Config's 128
    "gpt2": "context",            # takes GPT2Config's 1024: sets n_ctx, which that does not have
    "starcoder2": "vocabulary",   # vocab_size: counts tokens, and a model without a tokenizer has none
    "falcon-new": "architecture",  # no key says it; llama.cpp sees it by the second norm
    "phi3": "padding id",         # takes Phi3Config's 32000, beyond this vocabulary
    "qwen3-moe": "experts' width",  # expert_feed_forward_length: takes Qwen3MoeConfig's 768
}
# Whose architecture it does not know at all; llama.cpp runs these files (`./interop llama.cpp`).
UNKNOWN = {"gemma": "GGUF model with architecture gemma is not supported yet."}


def falcon_rows(model):
    """llama.cpp stores all queries, keys and values of Falcon's fused rows, Hugging Face each group's together;
    transformers 5.23 leaves them as they lie, which is right with one key head alone. Puts them back."""
    config = model.config
    kv, width = config.num_kv_heads, config.hidden_size // config.num_attention_heads
    for name, module in model.named_modules():
        if name.endswith("query_key_value"):
            rows = module.weight.data.unflatten(0, (-1, width))
            q, k, v = rows.split([config.num_attention_heads, kv, kv])
            groups = torch.cat([q.unflatten(0, (kv, -1)), k[:, None], v[:, None]], 1)
            module.weight.data = groups.reshape(module.weight.shape)


def logits_of_transformers(folder, model_folder, texts):
    """-> logits, how they came about. What UNKNOWN and UNREAD name must be refused without config.json, so that the day
    when transformers reads it is seen."""
    options, how = {"gguf_file": "model.gguf"}, "yes"
    if unread := UNREAD.get(model_folder.name):
        try:
            load_in_transformers(folder, torch.float32, **options)
            return None, f"reads the {unread}"
        except (RuntimeError, AssertionError):
            options["config"] = AutoConfig.from_pretrained(model_folder)
            how = f"config.json for the {unread}"
    model, _ = load_in_transformers(folder, torch.float32, **options)
    if model_folder.name == "falcon-new":
        falcon_rows(model)
    return logits_of(model, texts), how


def check_one(model, scheme, target):
    name, unknown = f"{target} {scheme} {model.name}".replace("  ", " "), UNKNOWN.get(model.name)
    where, flavour = place(target, scheme, model, "transformers"), ""
    with tempfile.TemporaryDirectory() as work:
        try:
            folder, texts = export(model, scheme, target, pathlib.Path(work)), texts_of(model)
            flavour = flavour_of(folder)
            ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
            theirs, how = logits_of_transformers(folder, model, texts)
        except Exception as error:
            refused = unknown is not None and str(error) == unknown
            return Row(name, f"transformers: {unknown}" if refused else f"{type(error).__name__}: {error}".splitlines()[0][:90],
                       refused, place=where, seen=Seen(words="not read there", flavour=flavour))
    if theirs is None or unknown:
        return Row(name, how, False, place=where)
    far = difference(theirs, ours)
    return Row(name, how, far <= EXACT, far, EXACT, where, Seen(far, kl(ours.numpy(), theirs.numpy()), flavour=flavour))


def check():
    for model in models():
        for scheme, target in KINDS:
            yield check_one(model, fitting(scheme, model), target)
    for family in FAMILIES:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, "", "gguf:f32")

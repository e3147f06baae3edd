"""GGUF files read by the gguf package, which llama.cpp's own scripts use: every tensor dequantized by it, against the
floats that nibble reads from the same file."""
import pathlib
import re
import tempfile

import gguf
import numpy as np
from safetensors.numpy import load_file

from interop.arrays import place
from interop.common import Row, Seen, fitting, flavour_of, models, nibble, outcome, refusal

KINDS = [("", f"gguf:{flavour}") for flavour in (
    "f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "iq4_xs", "q3_k",
    "q2_k")]
KINDS += [("w4g32", "gguf"), ("w4g32-asym", "gguf"), ("w8g32", "gguf")]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_qkv": "self_attn.qkv_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "ffn_gate_inp": "mlp.gate", "ffn_gate_exps": "mlp.experts.*.gate_proj", "ffn_up_exps": "mlp.experts.*.up_proj",
         "ffn_down_exps": "mlp.experts.*.down_proj", "token_embd": "embed_tokens", "output_norm": "norm"}
OWN_NAMES = {
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
    "bloom": {"attn_qkv": "self_attention.query_key_value", "attn_output": "self_attention.dense",
              "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h", "token_embd": "word_embeddings",
              "token_embd_norm": "word_embeddings_layernorm", "output_norm": "ln_f"}}


def folder_name(name, family):
    """-> as it is in a Hugging Face folder; `*` stands for every expert."""
    if name == "output.weight":
        return "lm_head.weight"
    [(layer, part, kind)] = re.findall(r"^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$", name)
    base, layers = ("transformer.", "h.") if family == "bloom" else ("model.", "layers.")
    return base + (f"{layers}{layer}." if layer else "") + (NAMES | OWN_NAMES.get(family, {}))[part] + "." + kind


def pairs_of_rows(x, heads):
    """Rows of a query or key head as llama.cpp rotates them: in pairs."""
    return x.reshape(heads, 2, -1, x.shape[-1]).swapaxes(1, 2).reshape(x.shape)


def in_llama_order(x, name, reader):
    """What llama.cpp's converter makes of a family's tensor."""
    family = reader.fields["general.architecture"].contents()

    def heads(field):
        return int(reader.fields[f"{family}.attention.{field}"].contents())
    if family == "llama" and ".attn_q." in name:
        return pairs_of_rows(x, heads("head_count"))
    if family == "llama" and ".attn_k." in name:
        return pairs_of_rows(x, heads("head_count_kv"))
    if family == "bloom" and "attn_qkv" in name:  # a head's query, key and value side by side -> all of each
        return x.reshape(heads("head_count"), 3, -1).swapaxes(0, 1).reshape(x.shape)
    if family == "gemma" and "norm" in name:
        return x + 1
    return x


def one(model, scheme, target):
    name = f"{target} {scheme} {model.name}".replace("  ", " ")

    def check():
        with tempfile.TemporaryDirectory() as folder:
            source, work = model, pathlib.Path(folder)
            if scheme:
                source = work / "artifact"
                nibble("quantize", model, "-o", source, "--scheme", scheme, "--method", "rtn")
            nibble("export", source, "--to", target, "-o", work / "out")
            nibble("dequantize", work / "out", "-o", work / "floats", "--dtype", "f32")
            ours, reader = load_file(work / "floats/model.safetensors"), gguf.GGUFReader(work / "out/model.gguf")
            family, far = reader.fields["general.architecture"].contents(), 0.
            for t in reader.tensors:
                place = folder_name(t.name, family)
                if "*" in place:
                    wanted = np.stack([ours[place.replace("*", str(e))] for e in range(t.data.shape[0])])
                else:
                    wanted = in_llama_order(ours[place], t.name, reader)
                seen = gguf.quants.dequantize(t.data, t.tensor_type).reshape(wanted.shape)
                far = max(far, float(np.abs(seen - wanted).max() / wanted.std()))
            flavour = flavour_of(work / "out")
        return Row(name, f"{len(reader.tensors)} tensors", far <= 1e-6, far, 1e-6,
                   seen=Seen(words="the same weights", flavour=flavour))
    return outcome(name, refusal(target, model), check, place(target, scheme, model, "gguf"))


def check():
    for model in models():
        for scheme, target in KINDS:
            yield one(model, fitting(scheme, model), target)

"""GGUF files read by the gguf package, which llama.cpp's own scripts use: every tensor dequantized by it, against the
floats that nibble reads from the same file."""
import pathlib
import tempfile

import gguf
import numpy as np
from safetensors.numpy import load_file

from interop.common import TALES, Row, nibble

KINDS = [("", f"gguf:{flavour}") for flavour in (
    "f32", "f16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "iq4_nl", "q3_k", "q2_k")]
KINDS += [("w4g32", "gguf"), ("w4g32-asym", "gguf"), ("w8g32", "gguf")]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
OUTER = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
         "output.weight": "lm_head.weight"}


def folder_name(name):
    if name in OUTER:
        return OUTER[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.weight"


def pairs_of_rows(x, heads):
    """Rows of a query or key head as llama.cpp rotates them: in pairs."""
    return x.reshape(heads, 2, -1, x.shape[-1]).swapaxes(1, 2).reshape(x.shape)


def one(scheme, target):
    name = f"{target} {scheme}".strip()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        try:
            source = TALES
            if scheme:
                source = work / "artifact"
                nibble("quantize", TALES, "-o", source, "--scheme", scheme, "--method", "rtn")
            nibble("export", source, "--to", target, "-o", work / "out")
            nibble("dequantize", work / "out", "-o", work / "floats", "--dtype", "f32")
            ours, reader = load_file(work / "floats/model.safetensors"), gguf.GGUFReader(work / "out/model.gguf")
            heads = {key: int(reader.fields[f"llama.attention.{field}"].contents())
                     for key, field in (("attn_q", "head_count"), ("attn_k", "head_count_kv"))}
            far = 0.
            for t in reader.tensors:
                wanted = ours[folder_name(t.name)]
                for part, count in heads.items():
                    if part + "." in t.name:
                        wanted = pairs_of_rows(wanted, count)
                seen = gguf.quants.dequantize(t.data, t.tensor_type).reshape(wanted.shape)
                far = max(far, float(np.abs(seen - wanted).max() / wanted.std()))
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)
    return Row(name, f"{len(reader.tensors)} tensors", far <= 1e-6, far, 1e-6)


def check():
    for scheme, target in KINDS:
        yield one(scheme, target)

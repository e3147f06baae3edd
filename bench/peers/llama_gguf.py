"""llama_gguf.py FOLDER OUT.gguf: a Llama safetensors folder as a float16 GGUF, for speed runs only.
llama_gguf.py --read-bytes FILE.gguf: prints the bytes of all tensors but the token embedding.

The vocabulary is made up: llama-bench feeds ids, not text. Rows of q and k keep our order, which
changes what a model says but not how long it takes. Needs the PyPI package gguf (and its numpy).
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy as np

NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm"}
OUTER = {"lm_head": "output", "model.embed_tokens": "token_embd", "model.norm": "output_norm"}


def gguf_name(name):
    stem = name.removesuffix(".weight")
    if stem in OUTER:
        return OUTER[stem] + ".weight"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{NAMES[rest]}.weight"


def tensors(path):
    """-> name, bfloat16 array as float32, one after the other."""
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
    data = np.memmap(path, np.uint8, "r", offset=8 + size)
    header.pop("__metadata__", None)
    for name, t in header.items():
        raw = data[slice(*t["data_offsets"])].view(np.uint16).astype(np.uint32) << 16
        yield name, raw.view(np.float32).reshape(t["shape"])


def read_bytes(path):
    return sum(int(t.n_bytes) for t in gguf.GGUFReader(path).tensors if t.name != "token_embd.weight")


def convert(folder, out):
    c = json.loads((pathlib.Path(folder) / "config.json").read_text())
    w = gguf.GGUFWriter(out, "llama")
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_rope_dimension_count(c["hidden_size"] // c["num_attention_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_vocab_size(c["vocab_size"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_tokenizer_model("llama")
    vocab = c["vocab_size"]
    w.add_token_list([f"<t{i}>" for i in range(vocab - 256)] + [f"<0x{i:02X}>" for i in range(256)])
    w.add_token_scores([0.0] * vocab)
    w.add_token_types([gguf.TokenType.NORMAL] * (vocab - 256) + [gguf.TokenType.BYTE] * 256)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    for name, t in tensors(pathlib.Path(folder) / "model.safetensors"):
        w.add_tensor(gguf_name(name), t if t.ndim == 1 else t.astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    if sys.argv[1] == "--read-bytes":
        print(read_bytes(sys.argv[2]))
    else:
        convert(*sys.argv[1:])

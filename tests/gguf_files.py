"""Writes GGUF files (version 3) of golden folders the way llama.cpp's converter does: a second
implementation of names, row orders and keys, in numpy and struct alone."""
import json
import pathlib
import struct

import numpy as np
from folders import read_safetensors

ALIGNMENT = 32


def read_tensors(folder):
    """-> config, {name: float32 array} of a folder of safetensors."""
    out = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        if path.name != "golden.safetensors":
            out |= read_arrays(path)
    return json.loads((pathlib.Path(folder) / "config.json").read_text()), out


def read_arrays(path):
    """-> {name: array}, floats as float32."""
    out = {}
    for name, (dtype, shape, raw) in read_safetensors(path).items():
        if dtype == "BF16":
            array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2", "I32": "<i4"}[dtype])
        out[name] = (array if dtype == "I32" else array.astype(np.float32)).reshape(shape)
    return out


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(value)) + value


def value(v):
    """Type and bytes of a metadata value; ("u32", [..]) makes a list."""
    if isinstance(v, bool):
        return struct.pack("<IB", 7, v)
    if isinstance(v, int):
        return struct.pack("<II", 4, v)
    if isinstance(v, float):
        return struct.pack("<If", 6, v)
    if isinstance(v, str):
        return struct.pack("<I", 8) + text(v)
    kind, items = v
    tag, one = {"u32": (4, lambda x: struct.pack("<I", x)), "f32": (6, lambda x: struct.pack("<f", x)),
                "i32": (5, lambda x: struct.pack("<i", x)), "text": (8, text)}[kind]
    return struct.pack("<IIQ", 9, tag, len(items)) + b"".join(map(one, items))


def q8_0(array):
    blocks = array.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float16)
    inverse = np.where(scale > 0, 1 / np.maximum(scale.astype(np.float32), 1e-30), 0)
    codes = np.clip(np.round(blocks * inverse[:, None]), -127, 127).astype(np.int8)
    raw = np.concatenate([scale.view(np.uint8).reshape(-1, 2), codes.view(np.uint8)], 1).tobytes()
    return raw, (codes * scale.astype(np.float32)[:, None]).reshape(array.shape)


def q4_0(array):
    blocks = array.reshape(-1, 32).astype(np.float32)
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)[:, 0]
    scale = (peak / -8).astype(np.float16)
    inverse = np.where(scale != 0, 1 / np.where(scale == 0, 1, scale).astype(np.float32), 0)
    codes = np.clip(np.floor(blocks * inverse[:, None] + 8.5), 0, 15).astype(np.uint8)
    raw = np.concatenate([scale.view(np.uint8).reshape(-1, 2), codes[:, :16] | codes[:, 16:] << 4], 1).tobytes()
    return raw, ((codes.astype(np.float32) - 8) * scale.astype(np.float32)[:, None]).reshape(array.shape)


def q4_1(array):
    blocks = array.reshape(-1, 32).astype(np.float32)
    low = blocks.min(1).astype(np.float16)
    scale = ((blocks.max(1) - low) / 15).astype(np.float16)
    wide, base = scale.astype(np.float32)[:, None], low.astype(np.float32)[:, None]
    codes = np.clip(np.round((blocks - base) / np.where(wide == 0, 1, wide)), 0, 15).astype(np.uint8)
    raw = np.concatenate([scale.view(np.uint8).reshape(-1, 2), low.view(np.uint8).reshape(-1, 2),
                          codes[:, :16] | codes[:, 16:] << 4], 1).tobytes()
    return raw, (codes * wide + base).reshape(array.shape)


# Name: id in the file, what stores an array -> bytes, the floats that they stand for.
TYPES = {
    "F32": (0, lambda a: (a.astype("<f4").tobytes(), a)),
    "F16": (1, lambda a: (a.astype("<f2").tobytes(), a.astype("<f2").astype(np.float32))),
    "Q4_0": (2, q4_0),
    "Q4_1": (3, q4_1),
    "Q8_0": (8, q8_0),
}


def write(path, metadata, tensors, types=None):
    """tensors: {name: array}; types: {name: type of TYPES}, F32 where absent -> the floats stored."""
    stored, infos, data = {}, b"", b""
    for name, array in tensors.items():
        kind, pack = TYPES[(types or {}).get(name, "F32")]
        raw, stored[name] = pack(np.ascontiguousarray(array))
        data += bytes(-len(data) % ALIGNMENT)
        infos += text(name) + struct.pack("<I", array.ndim)
        infos += b"".join(struct.pack("<Q", d) for d in reversed(array.shape))
        infos += struct.pack("<IQ", kind, len(data))
        data += raw
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(k) + value(v) for k, v in metadata.items()) + infos
    pathlib.Path(path).write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)
    return stored


def pairs(array, heads):
    """Rotated halves of each head's rows to neighbouring pairs."""
    rows = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return rows.swapaxes(1, 2).reshape(array.shape)


def blocks(array, heads, kv_heads, head_dim):
    """Groups of queries, key and value to all queries, keys, values."""
    groups = array.reshape(kv_heads, heads // kv_heads + 2, head_dim, *array.shape[1:])
    parts = groups[:, :-2], groups[:, -2:-1], groups[:, -1:]
    return np.concatenate([p.reshape(-1, *array.shape[1:]) for p in parts])


LLAMA_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
BLOOM_NAMES = {
    "word_embeddings": "token_embd", "word_embeddings_layernorm": "token_embd_norm", "ln_f": "output_norm",
    "self_attention.query_key_value": "attn_qkv", "self_attention.dense": "attn_output",
    "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down", "input_layernorm": "attn_norm",
    "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2", "post_attention_layernorm": "ffn_norm", "lm_head": "output",
}
GPT2_NAMES = {
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm", "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down", "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
}


GPTJ_NAMES = {
    "wte": "token_embd", "ln_f": "output_norm", "lm_head": "output", "attn.q_proj": "attn_q",
    "attn.k_proj": "attn_k", "attn.v_proj": "attn_v", "attn.out_proj": "attn_output", "mlp.fc_in": "ffn_up",
    "mlp.fc_out": "ffn_down", "ln_1": "attn_norm",
}


def renamed(name, names):
    module, kind = name.removeprefix("transformer.").rsplit(".", 1)
    module = module if module in names else module.removeprefix("model.")
    if module.split(".")[0] in ("layers", "h"):
        _, layer, module = module.split(".", 2)
        return f"blk.{layer}.{names[module]}.{kind}"
    return f"{names[module]}.{kind}"


def sizes(arch, c, **more):
    first = lambda *keys: next((c[k] for k in keys if c.get(k) is not None), None)
    hidden = first("hidden_size", "n_embd")
    out = {
        "context_length": first("max_position_embeddings", "seq_length", "n_positions"),
        "embedding_length": hidden, "block_count": first("num_hidden_layers", "n_layer"),
        "feed_forward_length": c.get("intermediate_size") or 4 * hidden,
        "attention.head_count": first("num_attention_heads", "n_head"), **more,
    }
    metadata = {"general.architecture": arch, "general.alignment": ALIGNMENT}
    metadata |= {f"{arch}.{k}": v for k, v in out.items() if v is not None}
    return metadata | {"tokenizer.ggml.model": "none"}


def theta(c):
    return float(c.get("rope_theta") or c["rope_parameters"]["rope_theta"])


def llama(folder, arch="llama"):
    c, tensors = read_tensors(folder)
    heads, shared = c["num_attention_heads"], c["num_key_value_heads"]
    experts, out = {}, {}
    for name, array in tensors.items():
        if ".experts." in name:
            layer, expert, part = name.split(".")[2], int(name.split(".")[5]), name.split(".")[6]
            experts.setdefault(f"blk.{layer}.ffn_{ {'w1': 'gate', 'w2': 'down', 'w3': 'up'}[part]}_exps.weight",
                               {})[expert] = array
            continue
        if arch == "llama" and "q_proj" in name:
            array = pairs(array, heads)
        if arch == "llama" and "k_proj" in name:
            array = pairs(array, shared)
        if arch == "gemma" and name.endswith("norm.weight"):
            array = array + 1
        if name != "lm_head.weight" or not c.get("tie_word_embeddings"):
            out[renamed(name, LLAMA_NAMES)] = array
    out |= {name: np.stack([found[e] for e in range(len(found))]) for name, found in experts.items()}
    metadata = sizes(arch, c, **{
        "attention.head_count_kv": shared, "attention.layer_norm_rms_epsilon": float(c["rms_norm_eps"]),
        "rope.freq_base": theta(c), "attention.key_length": c.get("head_dim"),
        "attention.value_length": c.get("head_dim"), "attention.sliding_window": c.get("sliding_window"),
        "expert_count": c.get("num_local_experts"), "expert_used_count": c.get("num_experts_per_tok")})
    return metadata, out


def qwen2(folder):
    return llama(folder, "qwen2")


def gemma(folder):
    return llama(folder, "gemma")


def fused(arch, folder):
    c, tensors = read_tensors(folder)
    heads = c.get("num_attention_heads") or c["n_head"]
    kv_heads = c.get("num_kv_heads") or heads
    head_dim = c["hidden_size"] // heads
    out = {}
    for name, array in tensors.items():
        if "query_key_value" in name:
            array = blocks(array, heads, kv_heads, head_dim)
        if name != "lm_head.weight":
            out[renamed(name, BLOOM_NAMES)] = array
    return sizes(arch, c, **{"attention.head_count_kv": kv_heads,
                             "attention.layer_norm_epsilon": float(c["layer_norm_epsilon"])}), out


def falcon(folder):
    return fused("falcon", folder)


def bloom(folder):
    return fused("bloom", folder)


def gptj(folder):
    c, tensors = read_tensors(folder)
    out = {renamed(name, GPTJ_NAMES): array for name, array in tensors.items()}
    return sizes("gptj", c, **{"attention.layer_norm_epsilon": float(c["layer_norm_epsilon"]),
                               "rope.dimension_count": c["rotary_dim"]}), out


def gpt2(folder):
    c, tensors = read_tensors(folder)
    out = {}
    for name, array in tensors.items():
        if array.ndim == 2 and ".h." in f".{name}":
            array = array.T
        if name != "lm_head.weight":
            out[renamed(name, GPT2_NAMES)] = array
    return sizes("gpt2", c, **{"attention.layer_norm_epsilon": float(c["layer_norm_epsilon"])}), out

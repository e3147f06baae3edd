"""make_random_llama.py --out FOLDER: a Llama with random bfloat16 weights, for speed and memory runs.

Without options it has TinyLlama-1.1B's shape. Weights are written as they are drawn, so memory stays
small at any size; the same options give the same bytes. Needs python3-numpy only.
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

CHUNK = 1 << 22  # numbers drawn at a time
DEVIATION = 0.02


def shapes(o):
    """-> name: shape of every tensor, in the order of the file."""
    head = o.hidden // o.heads
    kv = o.kv_heads * head
    tensors = {"lm_head.weight": (o.vocab, o.hidden),
               "model.embed_tokens.weight": (o.vocab, o.hidden),
               "model.norm.weight": (o.hidden,)}
    for i in range(o.layers):
        tensors |= {f"model.layers.{i}.{name}.weight": shape for name, shape in {
            "input_layernorm": (o.hidden,),
            "post_attention_layernorm": (o.hidden,),
            "self_attn.q_proj": (o.hidden, o.hidden),
            "self_attn.k_proj": (kv, o.hidden),
            "self_attn.v_proj": (kv, o.hidden),
            "self_attn.o_proj": (o.hidden, o.hidden),
            "mlp.gate_proj": (o.mlp, o.hidden),
            "mlp.up_proj": (o.mlp, o.hidden),
            "mlp.down_proj": (o.hidden, o.mlp)}.items()}
    return tensors


def bfloat16(values):
    """float32 -> the nearest bfloat16, as uint16."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def numbers(shape, random):
    """The weights of one tensor in chunks: norms are one, the rest is drawn."""
    count = int(np.prod(shape))
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        if len(shape) == 1:
            yield np.ones(size, np.float32)
        else:
            yield random.standard_normal(size, np.float32) * np.float32(DEVIATION)


def write_weights(path, tensors, seed):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors.items():
        end = offset + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.Generator(np.random.PCG64(seed))
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for shape in tensors.values():
            for chunk in numbers(shape, random):
                f.write(bfloat16(chunk).tobytes())


def config(o):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": o.vocab,
            "hidden_size": o.hidden, "intermediate_size": o.mlp, "num_hidden_layers": o.layers,
            "num_attention_heads": o.heads, "num_key_value_heads": o.kv_heads,
            "max_position_embeddings": o.context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1,
            "eos_token_id": 2, "torch_dtype": "bfloat16"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"layers": 22, "hidden": 2048, "mlp": 5632, "heads": 32, "kv-heads": 4,
                        "vocab": 32000, "context": 2048, "seed": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--tokenizer", default="",
                        help="what stands before tokenizer.json: models/tales-3.7m/ or .../llama2.")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    o = parser.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    if o.tokenizer:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(o.tokenizer + name, o.out / name)
    (o.out / "config.json").write_text(json.dumps(config(o), indent=1) + "\n")
    write_weights(o.out / "model.safetensors", shapes(o), o.seed)


if __name__ == "__main__":
    main()

"""make_family_models.py OUT: four small random models whose rows the grids of every format fit.

Writes OUT/phi3, OUT/bloom, OUT/qwen3-moe and OUT/gemma as transformers loads them: two layers of hidden 256 and MLP 512
(BLOOM's is always four times as wide, Qwen3's four experts have 256). Norms and biases are random too, so that a
forgotten one shows, and logits have a deviation of 1. The same bytes each time. Needs python3-numpy only.
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

from make_random_llama import bfloat16

VOCAB, CONTEXT, LAYERS, HIDDEN, MLP, HEADS, KV_HEADS, HEAD = 2048, 512, 2, 256, 512, 4, 2, 64
EXPERTS, CHOSEN, EXPERT_MLP = 4, 2, 256
TYPES = {"F32": ("float32", lambda x: x), "F16": ("float16", lambda x: x.astype(np.float16)),
         "BF16": ("bfloat16", bfloat16)}


class Draw:
    def __init__(self, seed):
        self.random = np.random.Generator(np.random.PCG64(seed))

    def normal(self, *shape, deviation=1.):
        return self.random.standard_normal(shape, np.float32) * np.float32(deviation)

    def linear(self, n, k, gain=1.):
        """Outputs of deviation `gain` where inputs have 1."""
        return self.normal(n, k, deviation=gain / k ** .5)

    def norm(self, size=HIDDEN):
        return 1 + self.normal(size, deviation=.2)


def last_norm(draw):
    """Around 0: a tied head would else answer each token with itself."""
    return draw.normal(HIDDEN)


def attention(draw, at, kv_heads):
    q, kv = HEADS * HEAD, kv_heads * HEAD
    return {at + "q_proj.weight": draw.linear(q, HIDDEN, 1.2), at + "k_proj.weight": draw.linear(kv, HIDDEN, 1.2),
            at + "v_proj.weight": draw.linear(kv, HIDDEN), at + "o_proj.weight": draw.linear(HIDDEN, q, 2)}


def gated(draw, at, width):
    return {at + "gate_proj.weight": draw.linear(width, HIDDEN), at + "up_proj.weight": draw.linear(width, HIDDEN),
            at + "down_proj.weight": draw.linear(HIDDEN, width, 2)}


def norms(draw, at):
    return {at + f"{name}_layernorm.weight": draw.norm() for name in ("input", "post_attention")}


def phi3(draw):
    tensors = {"model.embed_tokens.weight": draw.normal(VOCAB, HIDDEN), "model.norm.weight": last_norm(draw),
               "lm_head.weight": draw.linear(VOCAB, HIDDEN)}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        tensors |= norms(draw, at) | {
            at + "self_attn.qkv_proj.weight": draw.linear((HEADS + 2 * KV_HEADS) * HEAD, HIDDEN, 1.2),
            at + "self_attn.o_proj.weight": draw.linear(HIDDEN, HEADS * HEAD, 2),
            at + "mlp.gate_up_proj.weight": draw.linear(2 * MLP, HIDDEN),
            at + "mlp.down_proj.weight": draw.linear(HIDDEN, MLP, 2)}
    return tensors


def bloom(draw):
    def with_bias(name, weight):
        return {name + ".weight": weight, name + ".bias": draw.normal(len(weight), deviation=.1)}
    tensors = {"transformer.word_embeddings.weight": draw.linear(VOCAB, HIDDEN),
               **with_bias("transformer.word_embeddings_layernorm", draw.norm()),
               **with_bias("transformer.ln_f", last_norm(draw))}
    for i in range(LAYERS):
        at = f"transformer.h.{i}."
        for name, weight in {"input_layernorm": draw.norm(), "post_attention_layernorm": draw.norm(),
                             "self_attention.query_key_value": draw.linear(3 * HIDDEN, HIDDEN, 1.2),
                             "self_attention.dense": draw.linear(HIDDEN, HIDDEN, 2),
                             "mlp.dense_h_to_4h": draw.linear(4 * HIDDEN, HIDDEN),
                             "mlp.dense_4h_to_h": draw.linear(HIDDEN, 4 * HIDDEN, 2)}.items():
            tensors |= with_bias(at + name, weight)
    return tensors


def qwen3_moe(draw):
    """Two features of the embedding choose the experts, one the first of them and one the second: nothing else writes
    there to speak of, so that no token stands on the edge between two experts, where the rounding of any format would
    send it to either."""
    tensors = {"model.embed_tokens.weight": draw.normal(VOCAB, HIDDEN), "model.norm.weight": last_norm(draw),
               "lm_head.weight": draw.linear(VOCAB, HIDDEN)}
    features = tensors["model.embed_tokens.weight"][:, :2]
    features[:] = 3 * np.where(features < 0, -1, 1)
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        tensors |= norms(draw, at) | attention(draw, at + "self_attn.", KV_HEADS)
        tensors |= {at + f"self_attn.{part}_norm.weight": draw.norm(HEAD) for part in "qk"}
        router = draw.linear(EXPERTS, HIDDEN, .3)
        router[:, :2] = [[1.5, 0], [0, 1], [-1.5, 0], [0, -1]]
        tensors[at + "mlp.gate.weight"] = router
        for e in range(EXPERTS):
            tensors |= gated(draw, at + f"mlp.experts.{e}.", EXPERT_MLP)
        tensors[at + "post_attention_layernorm.weight"][:2] = 1
        for name, weight in tensors.items():
            if name.startswith(at) and name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[:2] *= .05
    return tensors


def gemma(draw):
    """Its norms multiply by 1 + w, its embeddings are multiplied by the root of 256."""
    tensors = {"model.embed_tokens.weight": draw.linear(VOCAB, HIDDEN), "model.norm.weight": last_norm(draw) - 1}
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        tensors |= {name: w - 1 for name, w in norms(draw, at).items()}
        tensors |= attention(draw, at + "self_attn.", 1) | gated(draw, at + "mlp.", MLP)
    return tensors


LLAMA = {"hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
         "num_key_value_heads": KV_HEADS, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
         "hidden_act": "silu", "tie_word_embeddings": False, "rope_theta": 10000.0}
# Folder: class, model_type, numbers' type, tensors, config.json.
FAMILIES = {
    "phi3": ("Phi3ForCausalLM", "phi3", "BF16", phi3,
             LLAMA | {"original_max_position_embeddings": CONTEXT, "pad_token_id": 0, "sliding_window": None}),
    "bloom": ("BloomForCausalLM", "bloom", "F16", bloom,
              {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "layer_norm_epsilon": 1e-5,
               "apply_residual_connection_post_layernorm": False, "tie_word_embeddings": True}),
    "qwen3-moe": ("Qwen3MoeForCausalLM", "qwen3_moe", "BF16", qwen3_moe,
                  LLAMA | {"head_dim": HEAD, "num_experts": EXPERTS, "num_experts_per_tok": CHOSEN,
                           "moe_intermediate_size": EXPERT_MLP, "norm_topk_prob": True, "decoder_sparse_step": 1,
                           "mlp_only_layers": [], "attention_bias": False}),
    "gemma": ("GemmaForCausalLM", "gemma", "F32", gemma,
              LLAMA | {"num_key_value_heads": 1, "head_dim": HEAD, "hidden_act": "gelu_pytorch_tanh",
                       "tie_word_embeddings": True, "attention_bias": False, "pad_token_id": 0}),
}


def write_weights(path, tensors, kind):
    header, parts, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in sorted(tensors.items()):
        parts.append(TYPES[kind][1](np.ascontiguousarray(values)).tobytes())
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [offset, offset + len(parts[-1])]}
        offset += len(parts[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def make(out, tokenizer=None):
    """tokenizer: a folder whose tokenizer files go beside each model. -> the models' folders."""
    for seed, (name, (kind, model_type, dtype, tensors, config)) in enumerate(FAMILIES.items()):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        config = {"architectures": [kind], "model_type": model_type, "vocab_size": VOCAB, "bos_token_id": 0,
                  "eos_token_id": 0, "torch_dtype": TYPES[dtype][0]} | config
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        write_weights(folder / "model.safetensors", tensors(Draw(seed)), dtype)
        for file in ("tokenizer.json", "tokenizer_config.json") if tokenizer else ():
            shutil.copyfile(tokenizer / file, folder / file)
    return [out / name for name in FAMILIES]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, metavar="OUT")
    parser.add_argument("--tokenizer", type=pathlib.Path, metavar="FOLDER", help=f"its tokenizer, of {VOCAB} tokens")
    args = parser.parse_args()
    make(args.out, args.tokenizer)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Random tiny checkpoints of every family, with flags that shared/models/golden does not have, run by
transformers and by nibble: the largest difference of their logits in standard deviations.

    tools/compare_random_models.py NIBBLE [--seed N] [NAME...]     needs torch, transformers, safetensors

A seed other than 0 draws other sizes, ratios of heads, types of weights and shards, and writes some configs as
transformers 4 did. Exits 1 where a difference reaches 1e-3. Not part of ./check, which has no transformers."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

TOKENS = 40
transformers.logging.disable_progress_bar()
LLAMA = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=3, vocab_size=131, max_position_embeddings=128, bos_token_id=1,
             eos_token_id=2, pad_token_id=0)
OLD = dict(n_layer=2, n_head=6, vocab_size=131, bos_token_id=1, eos_token_id=2)
LONG = [1 + .1 * i for i in range(4)]


def llama(**more):
    return {**LLAMA, **more}


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=1e4, **more))


def falcon(**more):
    return dict(hidden_size=96, num_attention_heads=6, num_hidden_layers=2, vocab_size=131, **more)


CASES = {
    "llama-dynamic": ("Llama", llama(rope_parameters=dict(rope_type="dynamic", factor=2.0,
                                                          rope_theta=1e4))),
    "llama-linear-mlp-bias": ("Llama", llama(mlp_bias=True, tie_word_embeddings=True,
                                             rope_parameters=dict(rope_type="linear", factor=3.0,
                                                                  rope_theta=1e4))),
    "llama-gelu": ("Llama", llama(hidden_act="gelu", head_dim=12)),
    "mistral-nemo": ("Mistral", llama(head_dim=20, sliding_window=None)),
    "mixtral-window": ("Mixtral", llama(num_local_experts=5, num_experts_per_tok=3,
                                        sliding_window=7)),
    "qwen2-window": ("Qwen2", llama(use_sliding_window=True, sliding_window=6, max_window_layers=1)),
    "qwen3-window": ("Qwen3", llama(head_dim=10, attention_bias=True, use_sliding_window=True,
                                    sliding_window=6, max_window_layers=2)),
    "qwen3-moe-dense": ("Qwen3Moe", llama(head_dim=10, num_experts=4, num_experts_per_tok=3,
                                          moe_intermediate_size=20, norm_topk_prob=False,
                                          mlp_only_layers=[1])),
    "qwen3-moe-sparse-step": ("Qwen3Moe", llama(head_dim=8, num_experts=6, num_experts_per_tok=1,
                                                moe_intermediate_size=24, norm_topk_prob=True,
                                                decoder_sparse_step=2)),
    "qwen2-yarn": ("Qwen2", llama(rope_parameters=dict(
        rope_type="yarn", factor=2.5, rope_theta=5e4, original_max_position_embeddings=24,
        beta_fast=16.0, beta_slow=2.0))),
    "llama-yarn-mscale": ("Llama", llama(rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e4, original_max_position_embeddings=32,
        mscale=1.0, mscale_all_dim=.5, truncate=False))),
    "smollm3-window": ("SmolLM3", llama(no_rope_layer_interval=2, use_sliding_window=True,
                                        sliding_window=5)),
    "gemma-bias": ("Gemma", llama(head_dim=12, attention_bias=True, num_key_value_heads=1)),
    "gemma2": ("Gemma2", llama(head_dim=12, sliding_window=5, query_pre_attn_scalar=20,
                               attn_logit_softcapping=3.0, final_logit_softcapping=5.0)),
    "gemma2-uncapped": ("Gemma2", llama(head_dim=12, sliding_window=5, attn_logit_softcapping=None,
                                        final_logit_softcapping=None)),
    "gemma3": ("Gemma3", llama(head_dim=12, sliding_window=5, num_hidden_layers=4,
                               layer_types=["sliding_attention", "full_attention"] * 2,
                               final_logit_softcapping=4.0)),
    "gemma3-nested": ("Gemma3", dict(
        text_config=llama(model_type="gemma3_text", head_dim=12, sliding_window=5, num_hidden_layers=4,
                          layer_types=["sliding_attention", "full_attention"] * 2, rope_parameters=dict(
                              sliding_attention=dict(rope_type="default", rope_theta=1e4),
                              full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6))),
        vision_config=dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                           image_size=28, patch_size=14), mm_tokens_per_image=4, boi_token_index=5,
        eoi_token_index=6, image_token_index=7)),
    "llama-llama3": ("Llama", llama(rope_parameters=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_theta=5e3,
        original_max_position_embeddings=16))),
    "phi3-long": ("Phi3", llama(original_max_position_embeddings=16, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=LONG, long_factor=LONG[::-1],
        original_max_position_embeddings=16))),
    "phi": ("Phi", llama(qk_layernorm=True, partial_rotary_factor=.25, hidden_size=96)),
    "phi-tied": ("Phi", llama(tie_word_embeddings=True, hidden_act="relu")),
    "phi3-partial": ("Phi3", llama(sliding_window=7, rope_parameters=dict(
        rope_type="default", rope_theta=1e4, partial_rotary_factor=.5))),
    "phi3-short": ("Phi3", llama(original_max_position_embeddings=64, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=LONG, long_factor=LONG[::-1]))),
    "falcon-bias": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_hidden_layers=2,
                                   vocab_size=131, multi_query=True, parallel_attn=False, bias=True)),
    "falcon-heads": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_hidden_layers=2,
                                    vocab_size=131, multi_query=False, parallel_attn=True,
                                    ffn_hidden_size=100)),
    "falcon-11b": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_kv_heads=2,
                                  num_hidden_layers=2, vocab_size=131, ffn_hidden_size=100,
                                  new_decoder_architecture=True, num_ln_in_parallel_attn=1)),
    "falcon-alibi-6": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_hidden_layers=2,
                                      vocab_size=131, multi_query=False, parallel_attn=False,
                                      bias=True, alibi=True)),
    "falcon-alibi-parallel": ("Falcon", dict(hidden_size=48, num_attention_heads=4,
                                             num_hidden_layers=2, vocab_size=131, multi_query=True,
                                             parallel_attn=True, alibi=True)),
    "bloom-6": ("Bloom", dict(OLD, hidden_size=48)),
    "bloom-post": ("Bloom", dict(OLD, hidden_size=48,
                                 apply_residual_connection_post_layernorm=True)),
    "gpt2-scaled": ("GPT2", dict(OLD, n_embd=48, n_positions=64, n_inner=100,
                                 scale_attn_by_inverse_layer_idx=True,
                                 activation_function="relu")),
    "gpt2-unscaled": ("GPT2", dict(OLD, n_embd=48, n_positions=64, scale_attn_weights=False)),
    "gptj-full": ("GPTJ", dict(OLD, n_embd=48, n_positions=64, rotary_dim=8)),
    "gptj-part": ("GPTJ", dict(OLD, n_embd=96, n_positions=64, rotary_dim=6, n_inner=100)),
    "gpt-neox-full": ("GPTNeoX", dict(LLAMA, rotary_pct=1.0, attention_bias=False,
                                      hidden_act="gelu_fast", tie_word_embeddings=True)),
    "gpt-neox-base": ("GPTNeoX", dict(LLAMA, rotary_pct=.5, rotary_emb_base=5000)),
    "opt-plain": ("OPT", dict(LLAMA, ffn_dim=100, enable_bias=False, word_embed_proj_dim=48,
                              layer_norm_elementwise_affine=False)),
    "opt-unnormed": ("OPT", dict(LLAMA, ffn_dim=100, _remove_final_layer_norm=True,
                                 word_embed_proj_dim=32, activation_function="gelu")),
    "opt-350m": ("OPT", dict(LLAMA, ffn_dim=100, do_layer_norm_before=False,
                             word_embed_proj_dim=24)),
    "mpt-6": ("Mpt", dict(d_model=48, n_heads=6, n_layers=2, vocab_size=131, max_seq_len=64,
                          attn_config=dict(alibi_bias_max=6, clip_qkv=.5, softmax_scale=.3))),
    "stablelm-parallel": ("StableLm", llama(use_parallel_residual=True, qk_layernorm=True,
                                            partial_rotary_factor=.5, use_qkv_bias=False)),
    "stablelm-2": ("StableLm", llama(use_qkv_bias=True, qk_layernorm=True)),
    "olmo2-bias": ("Olmo2", llama(attention_bias=True)),
    "granite": ("Granite", llama(attention_multiplier=.1, embedding_multiplier=5.0,
                                 residual_multiplier=.3, logits_scaling=4.0, attention_bias=True,
                                 mlp_bias=True, tie_word_embeddings=True)),
    "starcoder2-window": ("Starcoder2", llama(use_bias=False, sliding_window=6)),
    "starcoder2-tied": ("Starcoder2", llama(use_bias=True, sliding_window=None, tie_word_embeddings=True,
                                            norm_epsilon=1e-3)),
    "falcon-new-3-shared": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_kv_heads=3,
                                           num_hidden_layers=2, vocab_size=131, bias=True,
                                           new_decoder_architecture=True)),
    "falcon-new-1-shared": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_kv_heads=1,
                                           num_hidden_layers=2, vocab_size=131,
                                           new_decoder_architecture=True)),
    "falcon-linear": ("Falcon", dict(hidden_size=48, num_attention_heads=6, num_hidden_layers=2,
                                             vocab_size=131, multi_query=True, parallel_attn=True,
                                             rope_parameters=dict(rope_type="linear", factor=2.0,
                                                                  rope_theta=5e3))),
    "gpt-neox-sequential-odd": ("GPTNeoX", dict(LLAMA, hidden_size=96, use_parallel_residual=False,
                                                rotary_pct=.4)),
    "gpt-neox-dynamic": ("GPTNeoX", dict(LLAMA, max_position_embeddings=16, rope_parameters=dict(
        rope_type="dynamic", factor=2.0, rope_theta=1e4, partial_rotary_factor=.5))),
    "stablelm-all": ("StableLm", llama(use_qkv_bias=True, qk_layernorm=True, use_parallel_residual=True,
                                       partial_rotary_factor=.25, hidden_size=96)),
    "mpt-narrow": ("Mpt", dict(d_model=48, n_heads=6, n_layers=2, vocab_size=131, max_seq_len=64,
                                        expansion_ratio=3, attn_config=dict(clip_qkv=.2))),
    "bloom-12": ("Bloom", dict(OLD, hidden_size=96, n_head=12)),
    "bloom-5": ("Bloom", dict(OLD, hidden_size=40, n_head=5)),
    "gemma2-other-scalar": ("Gemma2", llama(head_dim=16, sliding_window=9, query_pre_attn_scalar=48,
                                            num_key_value_heads=1)),
    "gemma3-other-scalar": ("Gemma3", llama(
        head_dim=20, sliding_window=3, query_pre_attn_scalar=7, num_hidden_layers=6,
        layer_types=["sliding_attention"] * 5 + ["full_attention"],
        rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=2e4),
                             full_attention=dict(rope_type="linear", factor=4.0, rope_theta=5e5)))),
    "qwen3-moe-unnormed": ("Qwen3Moe", llama(head_dim=10, num_experts=6, num_experts_per_tok=2,
                                             moe_intermediate_size=20, norm_topk_prob=False,
                                             decoder_sparse_step=2, mlp_only_layers=[], num_hidden_layers=4)),
    "olmo2-shared": ("Olmo2", llama(num_key_value_heads=2, tie_word_embeddings=True)),
    "granite-plain": ("Granite", llama(attention_multiplier=.3, embedding_multiplier=12.0,
                                       residual_multiplier=.22, logits_scaling=8.0)),
    "smollm3-odd-layers": ("SmolLM3", llama(num_hidden_layers=5, no_rope_layers=[1, 0, 0, 1, 0],
                                            tie_word_embeddings=True)),
    "phi4-mini": ("Phi3", llama(hidden_size=96, num_attention_heads=6, num_key_value_heads=2, head_dim=16,
                                tie_word_embeddings=True, original_max_position_embeddings=16,
                                rope_parameters=dict(
                                    rope_type="longrope", rope_theta=1e4, partial_rotary_factor=.75,
                                    short_factor=[1 + .1 * i for i in range(6)],
                                    long_factor=[3 - .2 * i for i in range(6)],
                                    original_max_position_embeddings=16))),
    "phi3-at-original": ("Phi3", llama(original_max_position_embeddings=TOKENS, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=LONG, long_factor=LONG[::-1],
        original_max_position_embeddings=TOKENS))),
    "phi3-one-beyond": ("Phi3", llama(original_max_position_embeddings=TOKENS - 1, rope_parameters=dict(
        rope_type="longrope", rope_theta=1e4, short_factor=LONG, long_factor=LONG[::-1],
        original_max_position_embeddings=TOKENS - 1))),
    "gptj-two": ("GPTJ", dict(OLD, n_embd=96, n_positions=64, rotary_dim=2)),
    "opt-post-wide": ("OPT", dict(LLAMA, ffn_dim=100, do_layer_norm_before=False, word_embed_proj_dim=72)),
    "llama-all-biases": ("Llama", llama(attention_bias=True, mlp_bias=True, head_dim=20,
                                        num_key_value_heads=1)),
    "llama-dynamic-beyond": ("Llama", llama(max_position_embeddings=16, rope_parameters=dict(
        rope_type="dynamic", factor=2.0, rope_theta=1e4))),
    "llama-linear-beyond": ("Llama", llama(max_position_embeddings=16, rope_parameters=dict(
        rope_type="linear", factor=2.5, rope_theta=1e4))),
    "llama-yarn-attention-factor": ("Llama", llama(rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e4, original_max_position_embeddings=16,
        attention_factor=1.7))),
    "llama-yarn-equal-mscales": ("Llama", llama(rope_parameters=dict(
        rope_type="yarn", factor=8.0, rope_theta=1e4, original_max_position_embeddings=16,
        mscale=.707, mscale_all_dim=.707))),
    "qwen3-yarn": ("Qwen3", llama(head_dim=24, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="yarn", factor=4.0, rope_theta=1e6, original_max_position_embeddings=16))),
    "starcoder2-window-1": ("Starcoder2", llama(sliding_window=1, tie_word_embeddings=False, num_key_value_heads=1)),
    "falcon-new-bias": ("Falcon", falcon(num_kv_heads=6, new_decoder_architecture=True, bias=True,
                                         tie_word_embeddings=False)),
    "falcon-new-alibi": ("Falcon", falcon(num_kv_heads=2, new_decoder_architecture=True, alibi=True)),
    "falcon-relu": ("Falcon", falcon(multi_query=True, bias=True, activation="relu")),
    "gpt-neox-linear": ("GPTNeoX", dict(LLAMA, hidden_size=96, **rope("linear", factor=4.0,
                                                                      partial_rotary_factor=.75))),
    "phi-grouped": ("Phi", llama(qk_layernorm=True, hidden_size=96, num_key_value_heads=2,
                                 **rope("default", partial_rotary_factor=.75))),
    "phi-dynamic-beyond": ("Phi", llama(hidden_size=96, max_position_embeddings=24,
                                        **rope("dynamic", factor=3.0, partial_rotary_factor=.5))),
    "mpt-12": ("Mpt", dict(d_model=96, n_heads=12, n_layers=2, vocab_size=131, max_seq_len=64, expansion_ratio=2,
                           no_bias=False)),
    "bloom-7": ("Bloom", dict(OLD, n_head=7, hidden_size=56, tie_word_embeddings=False)),
    "bloom-1": ("Bloom", dict(OLD, n_head=1, hidden_size=16)),
    "gemma2-bias": ("Gemma2", llama(head_dim=20, query_pre_attn_scalar=7, sliding_window=9, attention_bias=True)),
    "gemma3-7": ("Gemma3", llama(head_dim=20, query_pre_attn_scalar=33, sliding_window=6, num_hidden_layers=7)),
    "qwen3-moe-listed": ("Qwen3Moe", llama(head_dim=12, num_experts=8, num_experts_per_tok=2,
                                           moe_intermediate_size=20, norm_topk_prob=False, mlp_only_layers=[0, 2],
                                           decoder_sparse_step=1, num_hidden_layers=4)),
    "qwen3-moe-all": ("Qwen3Moe", llama(head_dim=12, num_experts=5, num_experts_per_tok=5, moe_intermediate_size=20,
                                        decoder_sparse_step=2, num_hidden_layers=4, use_sliding_window=True,
                                        sliding_window=5, max_window_layers=1)),
    "mixtral-1": ("Mixtral", llama(num_local_experts=3, num_experts_per_tok=1, sliding_window=4, head_dim=12)),
    "olmo2-yarn": ("Olmo2", llama(num_key_value_heads=1, head_dim=20, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=16, attention_factor=1.2))),
    "gptj-tied": ("GPTJ", dict(OLD, n_embd=96, n_positions=64, rotary_dim=14, tie_word_embeddings=True)),
    "opt-wide": ("OPT", dict(LLAMA, ffn_dim=100, word_embed_proj_dim=64, tie_word_embeddings=False,
                             enable_bias=False)),
    "llama-yarn-beyond": ("Llama", llama(max_position_embeddings=16, **rope(
        "yarn", factor=4.0, original_max_position_embeddings=8, attention_factor=.9))),
    "llama-yarn-one-mscale": ("Llama", llama(**rope("yarn", factor=4.0, original_max_position_embeddings=8,
                                                    mscale=.7))),
    "llama-longrope": ("Llama", llama(max_position_embeddings=64, **rope(
        "longrope", short_factor=LONG, long_factor=LONG[::-1], original_max_position_embeddings=16))),
}


def varied(fields, draw):
    """Other counts of heads, layers and so on; a head keeps its size, which rotations depend on."""
    out = dict(fields)
    hidden, heads = (next(k for k in keys if k in out) for keys in (
        ("hidden_size", "n_embd", "d_model"), ("num_attention_heads", "n_head", "n_heads")))
    size = out[hidden] // out[heads]
    out[heads] = draw.choice([2, 3, 4, 6, 8, 10])
    out[hidden] = out[heads] * size
    shared = [k for k in range(1, out[heads] + 1) if out[heads] % k == 0]
    for key in ("num_key_value_heads", "num_kv_heads"):
        if out.get(key, 1) != 1:
            out[key] = draw.choice(shared)
    for key in ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "moe_intermediate_size"):
        if out.get(key):
            out[key] = draw.randrange(9, 60) * 4
    for key in ("num_hidden_layers", "n_layer", "n_layers"):
        if key in out and not {"layer_types", "mlp_only_layers", "decoder_sparse_step", "no_rope_layers"} & set(out):
            out[key] = draw.randrange(1, 5)
    if out.get("word_embed_proj_dim") == fields[hidden]:
        out["word_embed_proj_dim"] = out[hidden]
    if "word_embed_proj_dim" in out and draw.random() < .5:
        out["word_embed_proj_dim"] = out[hidden]
    out["vocab_size"] = draw.randrange(50, 400)
    for key in ("sliding_window", "max_window_layers"):
        if out.get(key):
            out[key] = draw.randrange(1, 12)
    return out


def as_transformers_4(folder):
    """rope_theta, rope_scaling and partial_rotary_factor where transformers 5 has rope_parameters."""
    path = os.path.join(folder, "config.json")
    whole = json.load(open(path))
    config = whole.get("text_config", whole)
    rope = config.pop("rope_parameters", None)
    if rope is None:
        return
    if "full_attention" in rope:  # Gemma 3
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        kinds = config.pop("layer_types")
        config["sliding_window_pattern"] = (kinds + ["full_attention"]).index("full_attention") + 1
        rope = rope["full_attention"]
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in rope:
            config[key] = rope.pop(key)
    kind = rope.pop("rope_type", "default")
    config["rope_scaling"] = None if kind == "default" else dict(rope, type=kind)
    json.dump(whole, open(path, "w"))


def make(name, folder, seed):
    family, fields = CASES[name]
    draw = random.Random(f"{name} {seed}")
    if seed and "text_config" not in fields:
        fields = varied(fields, draw)
    suffix = "TextConfig" if family == "Gemma3" and "text_config" not in fields else "Config"
    config = getattr(transformers, family + suffix)(**fields)
    config._attn_implementation = "eager"
    torch.manual_seed(sum(map(ord, name)) + 1000 * seed)
    kind = transformers.AutoModelForImageTextToText if "text_config" in fields else transformers.AutoModelForCausalLM
    model = kind.from_config(config, attn_implementation="eager").eval()
    dtype = draw.choice([torch.float32, torch.bfloat16, torch.float16]) if seed else torch.float32
    with torch.no_grad():
        for p in model.parameters():  # norms and biases too, so that a forgotten one shows
            p.copy_(torch.randn_like(p) * (.5 if p.dim() == 1 else .15) + (p.dim() == 1) * p)
            p.copy_(p.to(dtype))
    # Not model.to(): that would round the rotations' frequencies too.
    stored = {name: v.to(dtype) for name, v in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=stored, max_shard_size=draw.choice(["40KB", "1GB"]) if seed else "1GB")
    if seed % 2:
        as_transformers_4(folder)
    vocab = config.get_text_config().vocab_size
    ids = torch.randint(3, vocab, (1, TOKENS))
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    return ids[0].tolist(), out.logits[0]


def difference(nibble, name, seed):
    with tempfile.TemporaryDirectory() as folder:
        ids, want = make(name, folder, seed)
        worst = 0
        for chunk in (0, 7):
            out = os.path.join(folder, f"l{chunk}.safetensors")
            call = [nibble, "logits", folder, "--ids", ",".join(map(str, ids)), "-o", "/tmp/" + os.path.basename(folder) + ".st"]
            if chunk:
                call += ["--chunk", str(chunk)]
            done = subprocess.run(call, capture_output=True, text=True)
            if done.returncode != 0:
                return done.stderr.strip()
            got = load_file(call[6])["logits"]
            os.remove(call[6])
            worst = max(worst, float((got - want).abs().max() / want.std()))
        return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nibble")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failed = False
    for name in args.names or CASES:
        d = difference(args.nibble, name, args.seed)
        good = isinstance(d, float) and d < 1e-3
        failed |= not good
        print(f"{'ok  ' if good else 'FAIL'} {name:24} {d if isinstance(d, str) else f'{d:.1e}'}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""make_quantized_vectors.py MODEL: writes tests/quantized_linears.json, one small linear of a model (k_proj of
layer 0 of shared/models/golden/llama) in every form of stored weights that nibble reads, as the packages pack
it, and the hash of the values that they dequantize. Needs a Python with torch, gptqmodel, bitsandbytes,
compressed-tensors, transformers and safetensors. ModelOpt's package is not needed: its FP4 is unpacked by
compressed-tensors', its scales are multiplied here."""
import hashlib
import json
import pathlib
import sys

import bitsandbytes.functional as bnb
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
from safetensors.torch import load_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests/quantized_linears.json"
NAME = "model.layers.0.self_attn.k_proj.weight"
TYPES = {torch.int32: "I32", torch.int64: "I64", torch.int8: "I8", torch.uint8: "U8", torch.float16: "F16",
         torch.bfloat16: "BF16", torch.float32: "F32", torch.float8_e4m3fn: "F8_E4M3"}
GROUP = 32


def spelt(t):
    t = t.detach().contiguous()
    return [TYPES[t.dtype], list(t.shape), t.reshape(-1).view(torch.uint8).numpy().tobytes().hex()]


def form(config, parts, values):
    """values: (n, k) as the package dequantizes; what nibble reads is compared in their type."""
    values = values.detach().contiguous()
    raw = values.view(torch.uint8).numpy().tobytes()
    return {"config": config, "parts": {k: spelt(v) for k, v in parts.items()},
            "dtype": TYPES[values.dtype], "sha256": hashlib.sha256(raw).hexdigest()}


def grids(w, bits, sym, groups):
    """Scales and zero points (n, groups) of w's columns as `groups` assigns them."""
    top = 2 ** bits - 1
    scale, zero = [], []
    for g in range(int(groups.max()) + 1):
        part = w[:, groups == g]
        lo, hi = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if sym:
            hi = torch.maximum(-lo, hi)
            lo = -hi
        s = ((hi - lo) / top).half().float()
        scale.append(s)
        zero.append(torch.full_like(s, (top + 1) // 2) if sym else (-lo / s).round().clamp(0, top))
    return torch.stack(scale, 1), torch.stack(zero, 1)


def on_grid(w, bits, scale, zero, groups):
    """w as its codes will mean it: packers round to the grid, but do not clamp."""
    s, z = scale[:, groups], zero[:, groups]
    return ((w / s).round() + z).clamp(0, 2 ** bits - 1).sub(z).mul(s)


def gptq(w, bits, sym=True, v1=True, act_order=False, zero_zero=False):
    n, k = w.shape
    groups = torch.arange(k) // GROUP
    if act_order:
        groups = groups[torch.randperm(k, generator=torch.Generator().manual_seed(3))]
    if zero_zero:  # rows that are never negative have a zero point of 0
        w = torch.where(torch.arange(n)[:, None] % 3 == 1, w.abs(), w)
    scale, zero = grids(w, bits, sym, groups)
    linear = torch.nn.Linear(k, n, bias=False)
    linear.weight.data = on_grid(w, bits, scale, zero, groups)
    module = TorchLinear(bits=bits, group_size=GROUP, sym=sym, desc_act=act_order, in_features=k, out_features=n,
                         bias=False, register_buffers=True)
    module.pack_block(linear, scale, zero, groups.int())
    module.post_init()
    values = module.dequantize_weight().T
    if v1:
        convert_gptq_v2_to_v1_format_module(module, QuantizeConfig(bits=bits, group_size=GROUP))
    config = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": sym, "desc_act": act_order,
              "checkpoint_format": "gptq" if v1 else "gptq_v2", "pack_dtype": "int32", "lm_head": False}
    parts = {f".{p}": getattr(module, p) for p in ("qweight", "qzeros", "scales", "g_idx")}
    return form(config, parts, values.half())


def awq(w):
    n, k = w.shape
    groups = torch.arange(k) // GROUP
    scale, zero = grids(w, 4, False, groups)
    linear = torch.nn.Linear(k, n, bias=False)
    linear.weight.data = on_grid(w, 4, scale, zero, groups)
    module = AwqTorchLinear(bits=4, group_size=GROUP, sym=False, desc_act=False, in_features=k, out_features=n,
                           bias=False, register_buffers=True)
    module.pack(linear, scale, zero)
    values = dequantize_gemm(module.qweight, module.qzeros, module.scales, 4, GROUP).T
    config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm",
              "modules_to_not_convert": None}
    return form(config, {f".{p}": getattr(module, p) for p in ("qweight", "qzeros", "scales")}, values.half())


def bnb4(w, kind, double, dtype):
    packed, state = bnb.quantize_4bit(w.to(dtype), quant_type=kind, compress_statistics=double, blocksize=64)
    parts = {".weight": packed} | {f".weight.{k}": v for k, v in state.as_dict(packed=True).items()}
    return form({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind,
                 "bnb_4bit_use_double_quant": double}, parts, bnb.dequantize_4bit(packed, state))


def bnb8(w):
    """In integers times a scale, as integer kernels need it: one rounding less than the package's two."""
    codes, scb, _ = bnb.int8_vectorwise_quant(w.half())
    values = codes.float() * (scb / 127).view(-1, 1)
    near = bnb.int8_vectorwise_dequant(codes, scb)
    assert torch.allclose(values, near, rtol=3e-7, atol=0)
    parts = {".weight": codes, ".SCB": scb, ".weight_format": torch.tensor(0, dtype=torch.uint8)}
    return form({"quant_method": "bitsandbytes", "load_in_8bit": True}, parts, values)


def compressed(w, fmt, arguments):
    """A compressor's own output and what it decompresses to."""
    args = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    n, k = w.shape
    state = {"weight": w}
    if args.type == "int":
        scale, zero = grids(w, args.num_bits, args.symmetric, torch.arange(k) // (args.group_size or k))
        state["weight_scale"] = scale
        if not args.symmetric:
            state["weight_zero_point"] = (zero - 2 ** (args.num_bits - 1)).to(torch.int8)
    else:
        size, top = args.group_size or k, {4: 6.0, 8: 448.0}[args.num_bits]
        if args.block_structure:
            rows, columns = args.block_structure
            peak = w.reshape(n // rows, rows, k // columns, columns).abs().amax((1, 3))
        elif args.strategy == "tensor":
            peak = w.abs().max().reshape(1)
        else:
            peak = w.reshape(n, k // size, size).abs().amax(2)
        state["weight_scale"] = peak / top
        if fmt == "nvfp4-pack-quantized":
            whole = (448 * 6 / w.abs().max()).reshape(1)
            state["weight_global_scale"] = whole
            state["weight_scale"] = (peak / top * whole).to(torch.float8_e4m3fn).float()
        if fmt.startswith("mxfp"):
            state["weight_scale"] = 2.0 ** torch.ceil(torch.log2(peak / top))
    compressor = BaseCompressor.get_value_from_registry(fmt)
    packed = compressor.compress(state, scheme)
    values = compressor.decompress(packed, scheme)["weight"]
    config = {"quant_method": "compressed-tensors", "format": fmt, "quantization_status": "compressed",
              "config_groups": {"group_0": {"targets": ["Linear"], "format": fmt,
                                            "weights": json.loads(args.model_dump_json())}}, "ignore": []}
    return form(config, {f".{name}": v for name, v in packed.items() if v is not None}, values)


def fp8(w, name, scale_of, config):
    scale = scale_of(w) / 448
    rows, columns = (w.shape[0] // scale.shape[0], w.shape[1] // scale.shape[1]) if scale.dim() == 2 else w.shape
    spread = scale.repeat_interleave(rows, 0).repeat_interleave(columns, 1) if scale.dim() == 2 else scale
    codes = (w / spread).to(torch.float8_e4m3fn)
    values = Fp8Dequantize(None)._dequantize_one(codes, scale.reshape(1, 1) if scale.dim() < 2 else scale,
                                                 torch.float32)
    return form(config, {".weight": codes, f".{name}": scale}, values)


def mxfp4(w):
    n, k = w.shape
    packed = compressed(w, "mxfp4-pack-quantized", {"num_bits": 4, "type": "float", "strategy": "group",
                                                    "group_size": 32})["parts"]
    codes = torch.frombuffer(bytearray.fromhex(packed[".weight_packed"][2]), dtype=torch.uint8).reshape(n, k // 32, 16)
    scales = torch.frombuffer(bytearray.fromhex(packed[".weight_scale"][2]), dtype=torch.uint8).reshape(n, k // 32)
    values = convert_moe_packed_tensors(codes[None], scales[None])[0].T
    return form({"quant_method": "mxfp4"}, {"_blocks": codes, "_scales": scales}, values)


def modelopt_nvfp4(w):
    n, k = w.shape
    whole = w.abs().max() / (448 * 6)
    scale = (w.reshape(n, k // 16, 16).abs().amax(2) / 6 / whole).to(torch.float8_e4m3fn)
    spread = (scale.float() * whole).repeat_interleave(16, 1)
    table = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6])
    nibbles = ((w / spread)[..., None] - table).abs().argmin(-1).to(torch.uint8)
    codes = nibbles[:, ::2] | nibbles[:, 1::2] << 4
    values = unpack_fp4_from_uint8(codes, n, k, torch.float32) * spread
    return form({"quant_method": "modelopt", "quant_algo": "NVFP4"},
                {".weight": codes, ".weight_scale": scale, ".weight_scale_2": whole}, values)


def main():
    w = next(t[NAME] for t in map(load_file, sorted(pathlib.Path(sys.argv[1]).glob("model*.safetensors"))) if NAME in t)
    w = w.float()
    block = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [16, 32]}
    nvfp4 = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    mx = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}
    makers = {f"gptq-{bits}-sym": (gptq, bits) for bits in (2, 3, 4, 8)}
    makers |= {f"gptq-{bits}-asym-v1": (gptq, bits, False, True, False, True) for bits in (2, 3, 4, 8)}
    makers |= {f"gptq-{bits}-asym-v2": (gptq, bits, False, False) for bits in (3, 4)}
    makers |= {
        "gptq-4-act-order": (gptq, 4, False, True, True),
        "awq": (awq,),
        "bnb-int8": (bnb8,),
        "bnb-nf4-f32": (bnb4, "nf4", False, torch.float32),
        "bnb-nf4-double-bf16": (bnb4, "nf4", True, torch.bfloat16),
        "bnb-fp4-f16": (bnb4, "fp4", False, torch.float16),
        "bnb-fp4-double-f32": (bnb4, "fp4", True, torch.float32),
        "ct-w4g32-asym": (compressed, "pack-quantized", {"num_bits": 4, "symmetric": False, "strategy": "group",
                                                         "group_size": 32}),
        "ct-w3": (compressed, "pack-quantized", {"num_bits": 3, "strategy": "channel"}),
        "ct-fp8-tensor": (compressed, "float-quantized", {"num_bits": 8, "type": "float", "strategy": "tensor"}),
        "ct-fp8-channel": (compressed, "float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
        "ct-fp8-block": (compressed, "float-quantized", block),
        "ct-nvfp4": (compressed, "nvfp4-pack-quantized", nvfp4),
        "ct-mxfp4": (compressed, "mxfp4-pack-quantized", mx),
        "fp8-block": (fp8, "weight_scale_inv", lambda w: w.reshape(2, 16, 2, 32).abs().amax((1, 3)),
                      {"quant_method": "fp8", "weight_block_size": [16, 32], "activation_scheme": "dynamic"}),
        "fp8-channel": (fp8, "weight_scale", lambda w: w.abs().amax(1, keepdim=True), {"quant_method": "fbgemm_fp8"}),
        "fp8-tensor": (fp8, "weight_scale", lambda w: w.abs().max(), {"quant_method": "modelopt", "quant_algo": "FP8"}),
        "mxfp4": (mxfp4,),
        "modelopt-nvfp4": (modelopt_nvfp4,),
    }
    out = {name: make(w, *arguments) for name, (make, *arguments) in makers.items()}
    OUT.write_text(json.dumps(out, indent=0) + "\n")
    print(f"{OUT}: {len(out)} forms, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()

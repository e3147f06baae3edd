"""nibble export and verify: every format's bytes, read by the layouts as their own programs spell them."""
import json
import struct

import numpy as np
import pytest
from folders import Folder, read_safetensors
from nibble import SHARED, TALES, digest, needs_shared, refused, run, run_json

DTYPES = {"F16": np.float16, "F32": np.float32, "I32": np.uint32, "I8": np.int8, "U8": np.uint8, "I64": np.int64}
MODULES = [f"model.layers.{i}.{name}" for i in range(4)
           for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]
# GGUF's names of the same, in its order of rows; query and key heads have their rows in pairs.
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down"}


def tensors_of(folder):
    """-> name: array, as stored; bfloat16 as uint16."""
    out = {}
    for name, (dtype, shape, raw) in read_safetensors(folder / "model.safetensors").items():
        out[name] = np.frombuffer(raw, DTYPES.get(dtype, np.uint16)).reshape(shape)
    return out


def bits(words, width, count):
    """The low bits first, along the last axis of uint32 words -> (..., count)."""
    flat = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    flat = flat[..., :count * width].reshape(*words.shape[:-1], count, width)
    return (flat * (1 << np.arange(width))).sum(-1).astype(np.int64)


def artifact(tensors, module, width, group):
    """codes - zero (n, k) and scales (n, groups) of nibble's own artifact."""
    scales = tensors[f"{module}.weight_scale"].astype(np.float32)
    if width == 8:
        codes = tensors[f"{module}.weight"].astype(np.int64)
        n, k = codes.shape
    else:
        n, k = tensors[f"{module}.weight_shape"]
        codes = bits(tensors[f"{module}.weight_packed"], width, k) - (1 << (width - 1))
    if f"{module}.weight_zero_point" in tensors:
        zeros = tensors[f"{module}.weight_zero_point"]
        zeros = bits(zeros.T, width, n).T - (1 << (width - 1)) if zeros.dtype == np.uint32 else zeros
        codes = codes - np.repeat(zeros, group or k, axis=1)[:, :k]
    return codes, scales


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """scheme -> the artifact of the embedded model, made once."""
    root = tmp_path_factory.mktemp("artifacts")

    def make(scheme):
        folder = root / scheme.replace(" ", "_")
        if not folder.exists():
            run("quantize", TALES, "-o", folder, "--scheme", *scheme.split(), "--method", "rtn")
        return folder
    return make


def export(folder, target, tmp_path, *more):
    out = tmp_path / "out"
    return run_json("export", folder, "--to", target, "-o", out, *more), out


def read_gptq(tensors, module, width, offset):
    words = tensors[f"{module}.qweight"]
    k, n = words.shape[0] * 32 // width, words.shape[1]
    codes = bits(words.T, width, k)
    zeros = bits(tensors[f"{module}.qzeros"], width, n).T + offset
    assert (tensors[f"{module}.g_idx"] == np.arange(k) // (k // zeros.shape[1])).all()
    return codes - np.repeat(zeros, k // zeros.shape[1], axis=1), tensors[f"{module}.scales"].T.astype(np.float32)


def read_awq(tensors, module):
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def unpack(words):
        out = np.empty((words.shape[0], words.shape[1], 8), np.int64)
        for i, column in enumerate(order):
            out[:, :, column] = words >> (4 * i) & 15
        return out.reshape(words.shape[0], -1)
    codes, zeros = unpack(tensors[f"{module}.qweight"]), unpack(tensors[f"{module}.qzeros"])
    return (codes - np.repeat(zeros, len(codes) // len(zeros), axis=0)).T, \
        tensors[f"{module}.scales"].T.astype(np.float32)


def same(theirs, ours, group):
    codes, scales = theirs
    assert (codes == ours[0]).all()
    k = codes.shape[1]
    spread = [np.repeat(s, k // s.shape[1], axis=1) for s in (scales, ours[1])]
    assert (spread[0] == spread[1]).all()


GPTQ = [("w2g64", 2, 64), ("w3g32", 3, 32), ("w4g128", 4, 128), ("w4", 4, None), ("w8g128", 8, 128),
        ("w4g128-asym", 4, 128), ("w8-asym", 8, None)]


@pytest.mark.parametrize("scheme,width,group", GPTQ, ids=lambda v: str(v))
def test_gptq(made, tmp_path, scheme, width, group):
    seen, out = export(made(scheme), "gptq", tmp_path)
    assert seen["round_trip"]["lossless"] and seen["round_trip"]["verdict"].startswith("lossless: 29 of 29")
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert config == json.loads((out / "quantize_config.json").read_text())
    assert config["bits"] == width and config["group_size"] == (group or -1)
    assert config["sym"] == ("asym" not in scheme)
    version = config["checkpoint_format"]
    assert {"v1": "gptq", "v2": "gptq_v2"}[seen["flavour"]] == version
    ours, theirs = tensors_of(made(scheme)), tensors_of(out)
    for module in MODULES:
        same(read_gptq(theirs, module, width, 1 if version == "gptq" else 0),
             artifact(ours, module, width, group), group)


def test_gptq_v1_cannot_hold_zero_points_of_zero(tmp_path):
    model, folder = Folder(tmp_path / "positive"), tmp_path / "artifact"

    def make_positive(tensors):
        dtype, shape, raw = tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.1.mlp.up_proj.weight"] = dtype, shape, (np.frombuffer(raw, np.uint16) & 0x7fff).tobytes()
    model.tensors(make_positive)
    run("quantize", model.path, "-o", folder, "--scheme", "w2g32-asym", "--method", "rtn")
    seen, out = export(folder, "gptq:v1", tmp_path)
    assert seen["flavour"] == "v2" and any("version 1" in note for note in seen["notes"])
    assert json.loads((out / "config.json").read_text())["quantization_config"]["checkpoint_format"] == "gptq_v2"


# Which kernel gptqmodel takes on a CPU, and whether that has groups like these (./interop gptq awq).
def test_groups_that_want_another_backend(made, tmp_path):
    for scheme, target, backend in (("w4g128", "gptq", None), ("w4", "gptq", "gptq_torch"), ("w3g128", "gptq", None),
                                    ("w4g16-asym", "awq", "torch_awq"), ("w4g128-asym", "awq", None)):
        seen, _ = export(made(scheme), target, tmp_path, "--force")
        said = [note for note in seen["notes"] if "name its backend" in note]
        assert len(said) == bool(backend) and all(f'"{backend}"' in note for note in said)


@needs_shared
def test_families_that_transformers_takes_no_gptq_of(tmp_path):
    for family, said in (("falcon-new", 1), ("bloom", 0)):
        artifact = tmp_path / family
        run("quantize", SHARED / "models/golden" / family, "-o", artifact, "--scheme", "w4g32", "--method", "rtn")
        seen, _ = export(artifact, "gptq", tmp_path, "--force")
        assert sum("GPTQModel.load" in note for note in seen["notes"]) == said
        run("quantize", SHARED / "models/golden" / family, "-o", artifact, "--scheme", "w4g32-asym", "--force")
        assert export(artifact, "gptq", tmp_path, "--force")[0]["flavour"] == ("v2" if said else "v1")


# transformers divides these families' activations by scales of their own, and without them by what memory held.
@needs_shared
def test_awq_of_bloom_has_scales_of_its_activations(tmp_path):
    run("quantize", SHARED / "models/golden/bloom", "-o", tmp_path / "w4", "--scheme", "w4g32", "--method", "rtn")
    seen, out = export(tmp_path / "w4", "awq", tmp_path)
    tensors = read_safetensors(out / "model.safetensors")
    scales = [name for name in tensors if name.endswith("mlp.gelu_impl.scales")]
    assert len(scales) == json.loads((out / "config.json").read_text())["n_layer"]
    for name in scales:
        dtype, shape, raw = tensors[name]
        assert dtype == "F16" and (np.frombuffer(raw, np.float16) == 1).all()
        assert shape == [tensors[name.replace("gelu_impl.scales", "dense_h_to_4h.qweight")][1][1] * 8]
    assert seen["round_trip"]["exact_matrices"] > 0


def test_gptq_takes_widths_that_it_lacks_in_wider_ones(made, tmp_path):
    seen, out = export(made("w5g64"), "gptq", tmp_path)
    assert seen["round_trip"]["lossless"]
    ours, theirs = tensors_of(made("w5g64")), tensors_of(out)
    for module in MODULES[:7]:
        same(read_gptq(theirs, module, 8, 1), artifact(ours, module, 5, 64), 64)


@pytest.mark.parametrize("scheme,group", [("w4g128", 128), ("w4g64-asym", 64), ("w4", None)])
def test_awq(made, tmp_path, scheme, group):
    seen, out = export(made(scheme), "awq", tmp_path)
    assert seen["round_trip"]["lossless"]
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["version"], config["bits"]) == ("awq", "gemm", 4)
    ours, theirs = tensors_of(made(scheme)), tensors_of(out)
    for module in MODULES:
        same(read_awq(theirs, module), artifact(ours, module, 4, group), group)


@pytest.mark.parametrize("flavour", ["nf4", "nf4-double", "fp4", "fp4-double"])
def test_bitsandbytes_blocks(made, tmp_path, flavour):
    seen, out = export(made("w8"), f"bitsandbytes:{flavour}", tmp_path)
    assert not seen["round_trip"]["lossless"]
    kind = flavour[:3]
    ours, theirs = tensors_of(made("w8")), tensors_of(out)
    for module in MODULES[:7]:
        name = f"{module}.weight"
        state = json.loads(theirs[f"{name}.quant_state.bitsandbytes__{kind}"].tobytes())
        absmax = theirs[f"{name}.absmax"]
        if "double" in flavour:
            nested = theirs[f"{name}.nested_quant_map"][absmax]
            absmax = nested * np.repeat(theirs[f"{name}.nested_absmax"], 256)[:len(nested)] + state["nested_offset"]
        packed = theirs[name].reshape(-1)
        codes = np.stack([packed >> 4, packed & 15], 1).reshape(-1)
        values = theirs[f"{name}.quant_map"][codes] * np.repeat(absmax, 64)
        codes, scales = artifact(ours, module, 8, None)
        source = (codes * scales).reshape(-1)
        # Half a step of the coarsest spacing of either table, and what double quantization adds.
        bound = np.repeat(np.abs(source).reshape(-1, 64).max(1), 64) * (.2 if "double" in flavour else .17)
        assert state["shape"] == list(codes.shape) and (np.abs(values - source) <= bound).all()
        error = np.sqrt(((values - source) ** 2).sum() / (source ** 2).sum())
        assert error < (.11 if kind == "nf4" else .15)


def test_bitsandbytes_rows_are_the_artifacts_integers(made, tmp_path):
    seen, out = export(made("w8"), "bitsandbytes", tmp_path)
    assert seen["flavour"] == "int8" and seen["round_trip"]["lossless"]
    ours, theirs = tensors_of(made("w8")), tensors_of(out)
    for module in MODULES:
        codes, scales = artifact(ours, module, 8, None)
        assert (theirs[f"{module}.weight"] == codes).all()
        assert (theirs[f"{module}.SCB"] == 127 * scales[:, 0]).all() and theirs[f"{module}.weight_format"] == 0


def test_compressed_tensors_packs_eight_bits_too(made, tmp_path):
    seen, out = export(made("w8g128"), "compressed-tensors:pack-quantized", tmp_path)
    assert seen["round_trip"]["lossless"]
    ours, theirs = tensors_of(made("w8g128")), tensors_of(out)
    for module in MODULES[:7]:
        codes, scales = artifact(ours, module, 8, 128)
        assert (bits(theirs[f"{module}.weight_packed"], 8, codes.shape[1]) - 128 == codes).all()


def gguf_tensors(path):
    """-> metadata keys and name: (type, shape outermost first, bytes) of a GGUF file, version 3."""
    blob, at = path.read_bytes(), 0

    def take(form):
        nonlocal at
        value = struct.unpack_from("<" + form, blob, at)
        at += struct.calcsize("<" + form)
        return value[0]

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return blob[at - size:at].decode()

    def value(tag):
        if tag == 8:
            return text()
        if tag == 9:
            inner, count = take("I"), take("Q")
            return [value(inner) for _ in range(count)]
        return take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[tag])
    assert blob[:4] == b"GGUF"
    at = 4
    assert take("I") == 3
    count, keys = take("Q"), take("Q")
    metadata = {text(): value(take("I")) for _ in range(keys)}
    infos = [(text(), [take("Q") for _ in range(take("I"))][::-1], take("I"), take("Q")) for _ in range(count)]
    start, out = -(-at // 32) * 32, {}
    ends = [offset for _, _, _, offset in infos[1:]] + [len(blob) - start]
    for (name, shape, kind, offset), end in zip(infos, ends):
        assert offset % 32 == 0 and len(name) <= 63
        out[name] = (kind, shape, blob[start + offset:start + end])
    return metadata, out


def read_blocks(kind, shape, raw):
    """codes - zero and scale of blocks of 32: Q4_0, Q5_0, Q8_0."""
    n, k = shape
    size = {2: 18, 6: 22, 8: 34}[kind]
    blocks = np.frombuffer(raw[:n * k // 32 * size], np.uint8).reshape(n, k // 32, size)
    scales = np.ascontiguousarray(blocks[:, :, :2]).view(np.float16)[:, :, 0].astype(np.float32)
    if kind == 8:
        return blocks[:, :, 2:].view(np.int8).reshape(n, k).astype(np.int64), scales
    nibbles = blocks[:, :, -16:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], 2).astype(np.int64)
    if kind == 6:
        fifth = np.unpackbits(np.ascontiguousarray(blocks[:, :, 2:6]), axis=2, bitorder="little")
        codes |= fifth.astype(np.int64) << 4
    return (codes - (8 if kind == 2 else 16)).reshape(n, k), scales


def pairs(rows, head=64):
    """Rows i and i + head / 2 of each head side by side, as llama.cpp rotates them."""
    return rows.reshape(-1, 2, head // 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


@pytest.mark.parametrize("scheme,width,group,flavour,kind", [
    ("w4g32", 4, 32, "q4_0", 2), ("w4g128", 4, 128, "q4_0", 2), ("w4g32-full", 4, 32, "q4_0", 2),
    ("w3g64-asym", 3, 64, "q4_0", 2), ("w4g32-asym", 4, 32, "q5_0", 6), ("w8g32", 8, 32, "q8_0", 8),
    ("w8", 8, None, "q8_0", 8)])
def test_gguf_keeps_integers(made, tmp_path, scheme, width, group, flavour, kind):
    seen, out = export(made(scheme), "gguf", tmp_path)
    assert seen["flavour"] == flavour and seen["round_trip"]["lossless"]
    metadata, theirs = gguf_tensors(out / "model.gguf")
    assert metadata["general.architecture"] == "llama" and metadata["llama.block_count"] == 4
    ours = tensors_of(made(scheme))
    for module in MODULES:
        _, _, layer, name = module.split(".", 3)
        stored = theirs[f"blk.{layer}.{GGUF_NAMES[name]}.weight"]
        assert stored[0] == kind
        codes, scales = artifact(ours, module, width, group)
        if name in ("self_attn.q_proj", "self_attn.k_proj"):
            codes, scales = pairs(codes), pairs(scales)
        same(read_blocks(*stored), (codes, scales), group)


def test_gguf_tokenizer_and_sizes(tmp_path):
    seen, out = export(TALES, "gguf", tmp_path)
    assert seen["flavour"] == "bf16" and seen["round_trip"]["lossless"]
    metadata, tensors = gguf_tensors(out / "model.gguf")
    document = json.loads((TALES / "tokenizer.json").read_text())
    tokens = {i: piece for piece, i in document["model"]["vocab"].items()}
    assert metadata["tokenizer.ggml.tokens"][427] == tokens[427] and metadata["tokenizer.ggml.pre"] == "gpt-2"
    assert len(metadata["tokenizer.ggml.tokens"]) == 2048 == tensors["token_embd.weight"][1][0]
    assert metadata["tokenizer.ggml.bos_token_id"] == 0 and metadata["tokenizer.ggml.add_bos_token"]
    assert metadata["tokenizer.ggml.token_type"][0] == 3 and metadata["tokenizer.ggml.token_type"][427] == 1
    assert len(metadata["tokenizer.ggml.merges"]) == len(document["model"]["merges"])
    assert metadata["llama.rope.freq_base"] == 10000 and metadata["llama.attention.head_count_kv"] == 2
    assert "output.weight" not in tensors


@pytest.mark.parametrize("flavour,bound", [
    ("f16", 4e-4), ("q8_0", .006), ("q6_k", .02), ("q5_k", .04), ("q5_1", .05), ("q5_0", .05), ("q4_k", .08),
    ("q4_1", .09), ("q4_0", .1), ("iq4_nl", .08), ("q3_k", .17), ("q2_k", .35)])
def test_gguf_rounds_floats(tmp_path, flavour, bound):
    seen, out = export(TALES, f"gguf:{flavour}", tmp_path)
    assert seen["round_trip"]["relative_error"] < bound and not seen["round_trip"]["lossless"]
    assert run_json("verify", out, "--against", TALES)["relative_error"] == seen["round_trip"]["relative_error"]


def test_every_export_says_what_it_is(made, tmp_path):
    seen, out = export(made("w4g128"), "gptq", tmp_path, "--base-model", "somebody/tales")
    record = json.loads((out / "nibble.json").read_text())
    assert record["format"] == "gptq" and record["round_trip"]["lossless"] and record["base_model"] == "somebody/tales"
    source = json.loads((made("w4g128") / "nibble.json").read_text())
    assert record["recipe"] == source["recipe"] and abs(record["bits_per_weight"] - seen["bpw"]) < 1e-9
    card = (out / "README.md").read_text()
    assert card.startswith("---\n") and "base_model: somebody/tales" in card and "29 of 29" in card
    files = digest(made("w4g128"))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        assert digest(out)[name] == files[name]


def test_the_same_bytes_at_any_thread_count(made, tmp_path):
    for target in ("gptq", "gguf", "bitsandbytes:nf4", "gguf:q4_k"):
        one, two = tmp_path / "one", tmp_path / "two"
        run("export", made("w4g128"), "--to", target, "-o", one, "-t", 1, "--force")
        run("export", made("w4g128"), "--to", target, "-o", two, "-t", 3, "--force")
        assert digest(one) == digest(two)


def test_dry_run_writes_nothing(made, tmp_path):
    seen, out = export(made("w4g128"), "gguf", tmp_path, "--dry-run")
    assert seen["dry_run"] and seen["flavour"] == "q4_0" and seen["exact"] and not out.exists()


@pytest.mark.parametrize("target", ["zz", "gptq:v3", "gguf:", ":", "awq:gemm:"])
def test_unknown_targets_are_usage_errors(tmp_path, target):
    done = run("export", TALES, "--to", target, "-o", tmp_path / "out", code=2)
    assert "known: " in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["gptq", "awq", "compressed-tensors"])
def test_a_float_model_must_be_quantized_first(tmp_path, target):
    refused("export", TALES, "--to", target, "-o", tmp_path / "out", words=["quantize"], leaves=tmp_path)


def test_refusals_name_what_is_wrong(made, tmp_path):
    (tmp_path / "there").mkdir()
    refused("export", made("w4g128"), "--to", "gptq", "-o", tmp_path / "there", words=["exists"], leaves=tmp_path)
    out = tmp_path / "out"
    refused("export", made("w4g100"), "--to", "gptq", "-o", out, words=["100", "q_proj"], leaves=tmp_path)
    refused("export", made("w5g64"), "--to", "awq", "-o", out, words=["5 bits"], leaves=tmp_path)
    refused("export", made("w4g128"), "--to", "compressed-tensors:int-quantized", "-o", out,
            words=["int-quantized"], leaves=tmp_path)
    refused("export", made("w4g100"), "--to", "compressed-tensors", "-o", out, words=["group size"], leaves=tmp_path)


@needs_shared
@pytest.mark.parametrize("family,why", [("opt", "opt"), ("gptj", "gptj"), ("falcon-alibi", "ALiBi")])
def test_gguf_refuses_families_that_llama_cpp_lacks(tmp_path, family, why):
    refused("export", SHARED / "models/golden" / family, "--to", "gguf", "-o", tmp_path / "out", words=[why],
            leaves=tmp_path)


def test_verify_finds_a_changed_code(made, tmp_path):
    _, out = export(made("w4g128"), "gptq", tmp_path)
    assert run("verify", out, "--against", made("w4g128"), "--lossless").stdout.startswith("lossless")
    file = out / "model.safetensors"
    blob = bytearray(file.read_bytes())
    header = json.loads(blob[8:8 + struct.unpack("<Q", blob[:8])[0]])
    at = 8 + struct.unpack("<Q", blob[:8])[0] + header["model.layers.2.mlp.up_proj.qweight"]["data_offsets"][0]
    blob[at] ^= 1
    file.write_bytes(blob)
    seen = json.loads(run("verify", out, "--against", made("w4g128"), "--lossless", "--json", code=1).stdout)
    assert seen["exact_matrices"] == 28 and seen["worst"] == "model.layers.2.mlp.up_proj"

#!/usr/bin/env python3
"""Writes the first corpus of the fuzz targets that read strangers' files: fuzz/corpus/TARGET/seed-NAME.

    tools/make_fuzz_seeds.py

Tiny files, each with parts that the others lack. Files of other names there are inputs that once crashed."""
import json
import pathlib
import struct
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests"))
import pickles  # noqa: E402

CORPUS = ROOT / "fuzz/corpus"
SIZES = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
             vocab_size=32, max_position_embeddings=64, eos_token_id=2)
OLD = dict(n_embd=8, n_embed=8, hidden_size=8, n_layer=2, n_head=2, vocab_size=32, n_positions=64)
LONG = [1.0, 2.0]


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(data.encode() if isinstance(data, str) else data)


def configs():
    ropes = {"linear": dict(factor=2.0), "dynamic": dict(factor=2.0),
             "llama3": dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32),
             "yarn": dict(factor=4.0, original_max_position_embeddings=32, mscale=1.0, mscale_all_dim=.5)}
    for kind, more in ropes.items():
        yield f"llama-{kind}", dict(SIZES, model_type="llama", rope_scaling=dict(more, type=kind))
        yield f"qwen2-{kind}", dict(SIZES, model_type="qwen2", rope_parameters=dict(more, rope_type=kind, rope_theta=5e5))
    yield "phi3", dict(SIZES, model_type="phi3", hidden_size=16, head_dim=4, original_max_position_embeddings=32,
                       rope_scaling=dict(type="longrope", short_factor=LONG, long_factor=LONG))
    yield "gemma3-nested", dict(model_type="gemma3", text_config=dict(
        SIZES, model_type="gemma3_text", head_dim=4, sliding_window=8, query_pre_attn_scalar=4,
        layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(
            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
            sliding_attention=dict(rope_type="default", rope_theta=1e4))))
    for family, more in {"mistral": dict(sliding_window=8), "qwen3": dict(head_dim=4, use_sliding_window=True,
                                                                        sliding_window=4, max_window_layers=1),
                         "gemma": dict(head_dim=4), "gemma2": dict(head_dim=4, attn_logit_softcapping=50.0, sliding_window=4),
                         "phi": dict(partial_rotary_factor=.5, qk_layernorm=True), "smollm3": dict(no_rope_layers=[1, 0]),
                         "stablelm": dict(partial_rotary_factor=.5, use_qkv_bias=True), "olmo2": {},
                         "granite": dict(attention_multiplier=.1, residual_multiplier=.2),
                         "starcoder2": dict(use_bias=True), "gpt_neox": dict(rotary_pct=.5, use_parallel_residual=False),
                         "opt": dict(ffn_dim=16, word_embed_proj_dim=4, do_layer_norm_before=False),
                         "mixtral": dict(num_local_experts=4, num_experts_per_tok=2),
                         "qwen3_moe": dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8,
                                           decoder_sparse_step=1, mlp_only_layers=[1])}.items():
        yield family, dict(SIZES, model_type=family, **more)
    for family, more in {"bloom": {}, "gpt2": dict(n_inner=None), "gptj": dict(rotary_dim=2),
                         "falcon": dict(num_attention_heads=2, num_hidden_layers=2, alibi=True, new_decoder_architecture=True,
                                        num_kv_heads=1, bias=True),
                         "mpt": dict(d_model=8, n_heads=2, n_layers=2, max_seq_len=64, expansion_ratio=2,
                                     attn_config=dict(alibi=True, alibi_bias_max=8, clip_qkv=6.0))}.items():
        yield family, dict(OLD, model_type=family, **more)


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def gguf_text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def gguf():
    """Metadata of every kind, and a tensor of 256 elements of every block type."""
    u32 = lambda v: struct.pack("<I", v)
    keys = [("general.architecture", u32(8) + gguf_text("llama")), ("u8", u32(0) + b"\1"), ("i8", u32(1) + b"\xff"),
            ("u16", u32(2) + b"\1\0"), ("i16", u32(3) + b"\1\0"), ("u32", u32(4) + u32(7)), ("i32", u32(5) + u32(7)),
            ("f32", u32(6) + struct.pack("<f", 1e-5)), ("bool", u32(7) + b"\1"),
            ("words", u32(9) + u32(8) + struct.pack("<Q", 2) + gguf_text("a") + gguf_text("bc")),
            ("scores", u32(9) + u32(6) + struct.pack("<Q", 2) + struct.pack("<2f", 1, 2)),
            ("u64", u32(10) + struct.pack("<Q", 9)), ("i64", u32(11) + struct.pack("<q", -9)),
            ("f64", u32(12) + struct.pack("<d", .5)), ("general.alignment", u32(4) + u32(32))]
    # ggml's numbers of the types and bytes of 256 elements.
    types = {0: 1024, 1: 512, 2: 144, 3: 160, 6: 176, 7: 192, 8: 272, 10: 84, 11: 110, 12: 144, 13: 176, 14: 210,
             20: 144, 23: 136, 30: 512}
    for name, some in [("all", types)] + [(f"type{t}", {t: size}) for t, size in types.items()]:
        infos, data = b"", b""
        for kind, size in some.items():
            data += b"\0" * (-len(data) % 32)
            infos += gguf_text(f"t{kind}") + u32(2) + struct.pack("<2Q", 256, 1) + u32(kind) + struct.pack("<Q", len(data))
            data += bytes(i * 37 % 256 for i in range(size))
        some_keys = keys if name == "all" else keys[:1]
        head = b"GGUF" + u32(3) + struct.pack("<2Q", len(some), len(some_keys)) + b"".join(
            gguf_text(key) + value for key, value in some_keys) + infos
        yield name, head + b"\0" * (-len(head) % 32) + data + b"\0" * (-len(data) % 32)


def torch_files():
    members = [("a.weight", pickles.tensor("F32", "0", 6, 0, [2, 3])), ("b", pickles.tensor("BF16", "1", 6, 1, [2], [2])),
               ("turned", pickles.tensor("F32", "0", 6, 0, [3, 2], [1, 3])), ("none", pickles.tensor("I64", "2", 0, 0, [0]))]
    code = pickles.pickle_of(members)
    yield "pickle", code
    # Further opcodes: memo, short texts, protocol 4 frames, numbers of all sizes.
    yield "opcodes", (b"\x80\x04\x95\x20\0\0\0\0\0\0\0}\x94(\x8c\x01aK\x07\x8c\x01bM\x07\x00\x8c\x01cJ\x07\0\0\0\x8c\x01d"
                      b"G\x3f\xf0\0\0\0\0\0\0\x8c\x01e\x88\x8c\x01fN\x8c\x01g]\x94\x8c\x01hh\x01\x8c\x01i)u.")
    yield "builtin", b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m.bin"
        pickles.write(path, code, {"0": bytes(24), "1": bytes(12), "2": b""})
        yield "zip", path.read_bytes()


def tokenizers():
    letters = {c: i for i, c in enumerate("<>abcdefgh \u0120\u2581")}
    bpe = dict(type="BPE", vocab=letters | {"ab": 20, "abc": 21, "\u0120a": 22}, merges=["a b", ["ab", "c"], "\u0120 a"])
    yield "bpe-byte-level", dict(
        model=bpe, normalizer={"type": "NFC"}, decoder={"type": "ByteLevel"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<", "type_id": 0}},
                                                                {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [], "special_tokens": {"<": {"id": "<", "ids": [0], "tokens": ["<"]}}},
        added_tokens=[dict(id=0, content="<", special=True, lstrip=True, rstrip=False, normalized=False, single_word=False)])
    yield "bpe-fallback", dict(
        model=dict(bpe, byte_fallback=True, unk_token="<", fuse_unk=True, vocab=bpe["vocab"] | {
            f"<0x{i:02X}>": 30 + i for i in range(0x60, 0x68)}),
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {
            "type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                  {"type": "ByteFallback"}, {"type": "Fuse"},
                                                  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    yield "unigram", dict(
        model=dict(type="Unigram", unk_id=0, byte_fallback=False, vocab=[["<unk>", 0], ["\u2581", -1.5], ["a", -2], ["ab", -2.5],
                                                                          ["\u2581the", -3], ["b", -2.25]]),
        normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}]},
        pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        decoder={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True})
    yield "word-piece", dict(
        model=dict(type="WordPiece", unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=100,
                   vocab={"[UNK]": 0, "a": 1, "##b": 2, "12": 3}),
        normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                    "lowercase": True},
        pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True})
    yield "parts", dict(
        model=bpe, normalizer={"type": "Sequence", "normalizers": [
            {"type": "NFD"}, {"type": "NFKD"}, {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {"type": "Punctuation", "behavior": "MergedWithPrevious"},
            {"type": "Whitespace"}, {"type": "WhitespaceSplit"}]},
        decoder={"type": "Sequence", "decoders": [{"type": "CTC", "pad_token": "<", "word_delimiter_token": "|", "cleanup": True},
                                                  {"type": "BPEDecoder", "suffix": "</w>"}]})


def sentencepieces():
    def tag(number, kind):
        v = number << 3 | kind
        return bytes([v]) if v < 128 else bytes([v & 127 | 128, v >> 7])

    def pieces(some):
        for text, score, kind in some:
            body = tag(1, 2) + bytes([len(text)]) + text + tag(2, 5) + struct.pack("<f", score) + tag(3, 0) + bytes([kind])
            yield tag(1, 2) + bytes([len(body)]) + body

    common = [(b"<unk>", 0, 2), (b"<s>", 0, 3), (b"</s>", 0, 3), ("\u2581".encode(), -1, 1), (b"a", -2, 1), (b"b", -3, 1),
              (b"ab", -1.5, 1), ("\u2581a".encode(), -2.5, 1), (b"cat", -4, 4), (b"<0x41>", 0, 6), (b"x", 0, 5)]
    for name, kind in (("unigram", 1), ("bpe", 2)):
        trainer = tag(3, 0) + bytes([kind]) + tag(35, 0) + b"\1" + tag(41, 0) + b"\1" + tag(42, 0) + b"\2" + tag(
            44, 2) + b"\3 ? "
        normalizer = tag(1, 2) + b"\x0cnmt_nfkc    " + tag(3, 0) + b"\1" + tag(4, 0) + bytes([kind - 1]) + tag(5, 0) + b"\1"
        yield name, b"".join(pieces(common)) + tag(2, 2) + bytes([len(trainer)]) + trainer + tag(3, 2) + bytes(
            [len(normalizer)]) + normalizer
    # A charsmap: the trie's size, an empty trie, one replacement.
    charsmap = struct.pack("<I", 1024) + bytes(1024) + b"x\0"
    normalizer = tag(2, 2) + bytes([len(charsmap) & 127 | 128, len(charsmap) >> 7]) + charsmap
    yield "charsmap", b"".join(pieces(common)) + tag(3, 2) + bytes([len(normalizer) & 127 | 128, len(normalizer) >> 7]) + normalizer


def onnx():
    """A folder's model.onnx, which is its model.onnx.data too."""
    def varint(v):
        return bytes([v & 127 | 128]) + varint(v >> 7) if v > 127 else bytes([v])

    def message(*fields):
        """fields: (number, an int or bytes or a text)."""
        out = b""
        for number, value in fields:
            if isinstance(value, int):
                out += varint(number << 3) + varint(value)
            else:
                raw = value.encode() if isinstance(value, str) else value
                out += varint(number << 3 | 2) + varint(len(raw)) + raw
        return out

    def tensor(name, kind, dims, *where):
        return 5, message(*[(1, d) for d in dims], (2, kind), (8, name), *where)

    def node(op, inputs, outputs=(), domain=""):
        return 1, message(*[(1, i) for i in inputs], *[(2, o) for o in outputs], (3, f"/{op}"), (4, op), (7, domain))

    def graph(*parts):
        return message((1, 10), (8, message((1, ""), (2, 21))), (7, message((2, "decoder"), *parts)))

    port = message((1, "x"), (2, message((1, message((1, 1), (2, message((1, message((2, "tokens"))), (1, message((1, 8))))))))))
    outside = [(13, message((1, k), (2, v))) for k, v in (("location", "model.onnx.data"), ("offset", "4"), ("length", "8"))]
    weights = [tensor("scale", 1, [2], (9, struct.pack("<2f", .5, -1))), tensor("codes", 3, [2, 4], *outside, (14, 1)),
               tensor("zeros", 3, [2], (9, b"\1\0")), tensor("blocks", 1, [2, 1], (9, bytes(8))),
               tensor("nibbles", 22, [3], (9, b"\x12\3")), tensor("one", 1, [], (9, bytes(4)))]
    chain = [node("QuantizeLinear", ["x", "one", "zeros"], ["q"]), node("DequantizeLinear", ["q", "one", "zeros"], ["y"]),
             node("DequantizeLinear", ["codes", "scale", "zeros"], ["w"]), node("MatMul", ["y", "w"], ["z"]),
             node("DequantizeLinear", ["nibbles", "blocks"], ["v"]), node("MatMul", ["z", "v"], ["logits"])]
    yield "chain", graph(*chain, *weights, (11, port))
    yield "others", graph(node("MatMulNBits", ["x", "codes"], ["y"], "com.microsoft"),
                          node("DynamicQuantizeLinear", ["y"], ["a", "b", "c"]), node("MatMulInteger", ["a", "codes"], ["d"]),
                          *weights)
    yield "bare", graph(*[node(op, []) for op in ("DequantizeLinear", "QuantizeLinear", "MatMul")],
                        node("DequantizeLinear", ["codes"]), node("QuantizeLinear", ["x", "scale"]), *weights)


class Flatbuffer:
    """Front to back, a table before what it names. A table: {slot: value}, a value bytes (a scalar), a text, (format, numbers),
    a table or a list of tables."""

    def __init__(self, root, identifier):
        self.out = bytearray(4) + identifier
        self.refer(0, self.table(root))

    def refer(self, place, target):
        self.out[place:place + 4] = struct.pack("<I", target - place)

    def table(self, fields):
        slots, vtable = max(fields, default=-1) + 1, len(self.out)
        self.out += bytes(4 + 2 * slots)
        begin, places = len(self.out), {}
        self.out += struct.pack("<i", begin - vtable)
        for slot, value in fields.items():
            places[slot] = len(self.out)
            self.out += value if isinstance(value, bytes) else bytes(4)
        offsets = [places[slot] - begin if slot in places else 0 for slot in range(slots)]
        self.out[vtable:begin] = struct.pack(f"<{2 + slots}H", begin - vtable, len(self.out) - begin, *offsets)
        for slot, value in fields.items():
            if not isinstance(value, bytes):
                self.refer(places[slot], self.put(value))
        return begin

    def put(self, value):
        if isinstance(value, dict):
            return self.table(value)
        at = len(self.out)
        if isinstance(value, str):
            self.out += struct.pack("<I", len(value)) + value.encode() + b"\0"
        elif isinstance(value, tuple):
            kind, numbers = value
            self.out += struct.pack(f"<I{len(numbers)}{kind}", len(numbers), *numbers)
        else:
            self.out += struct.pack("<I", len(value)) + bytes(4 * len(value))
            for i, table in enumerate(value):
                self.refer(at + 4 + 4 * i, self.table(table))
        return at


def tflite():
    def u32(v):
        return struct.pack("<I", v)

    def tensor(name, kind, dims, buffer=0, grid=None):
        return {0: ("i", dims), 1: struct.pack("b", kind), 2: u32(buffer), 3: name} | ({4: grid} if grid else {})

    def operator(code, inputs, outputs):
        return {0: u32(code), 1: ("i", inputs), 2: ("i", outputs)}

    def model(codes, tensors, operators):
        graph = {0: tensors, 1: ("i", [0]), 2: ("i", [len(tensors) - 1]), 3: operators, 4: "decode"}
        return bytes(Flatbuffer({
            0: u32(3), 1: [{0: struct.pack("b", min(c, 127)), 3: u32(c)} for c in codes], 2: [graph, graph],
            4: [{}, {0: ("B", range(8))}, {0: ("B", [0, 60, 0, 56])}, {1: struct.pack("<Q", 4), 2: struct.pack("<Q", 4)}]},
            b"TFL3").out)

    floats, halves, ints, unsigned, signed, nibbles = 0, 1, 2, 3, 9, 17
    grid = {2: ("f", [.5]), 3: ("q", [0])}
    rows = {2: ("f", [.5, .25]), 3: ("q", [0, 0])}
    yield "integers", model([9, 114, 6, 0], [
        tensor("x", floats, [1, 4]), tensor("q", signed, [1, 4], 0, grid), tensor("w", signed, [2, 4], 1, rows),
        tensor("size", ints, [1], 3), tensor("y", unsigned, [1, 2], 0, grid), tensor("z", floats, [1, 2])],
        [operator(1, [0], [1]), operator(0, [1, 2, -1], [4]), operator(3, [4, 4], [4]), operator(2, [4], [5])])
    blocks = {4: b"\2", 5: {0: u32(1), 1: struct.pack("<i", -1), 2: u32(8)}}
    yield "blocks", model([9, 126, 151], [
        tensor("x", floats, [1, 8]), tensor("scales", halves, [2, 1], 2), tensor("w", nibbles, [2, 8], 1, blocks),
        tensor("y", floats, [-1, 2, 3, 4, 5])],
        [operator(0, [0, 2], [3]), operator(1, [3, 3], [3]), operator(2, [3, 3, 0], [3])])
    yield "bare", model([9, 40, 0], [tensor("x", signed, [1])], [operator(i, [], []) for i in range(3)])


def main():
    for name, config in configs():
        put("config", name, json.dumps(config))
    put("safetensors", "empty", safetensors({}))
    put("safetensors", "two", safetensors({
        "__metadata__": {"format": "pt"}, "a": dict(dtype="F32", shape=[2, 2], data_offsets=[0, 16]),
        "b": dict(dtype="BF16", shape=[3], data_offsets=[16, 22]), "c": dict(dtype="I64", shape=[], data_offsets=[22, 30]),
        "d": dict(dtype="F8_E4M3", shape=[0, 4], data_offsets=[30, 30])}, bytes(30)))
    for name, data in gguf():
        put("gguf", name, data)
    for name, data in torch_files():
        put("pickle", name, data)
    for name, data in tokenizers():
        put("tokenizer_json", name, json.dumps(data, ensure_ascii=False))
        put("tokenizer_json", name + "-text", json.dumps(data, ensure_ascii=False).encode() + b"\0 abc <ab  \xc3\xa9 12,3")
    for name, data in sentencepieces():
        put("sentencepiece", name, data)
    for name, data in onnx():
        put("onnx", name, data)
    for name, data in tflite():
        put("tflite", name, data)
    cases = json.loads((ROOT / "tests/jinja_cases.json").read_text())["cases"]
    good = [case["template"] for case in cases if "text" in case]
    for i in range(0, len(good), 6):
        put("jinja", f"{i // 6:02}", "\n".join(good[i:i + 6]))


if __name__ == "__main__":
    main()

"""make_tokenizer_vectors.py: what the `tokenizers` package makes of small tokenizers and odd texts, for
src/text/tokenizer_vectors_test.cc.

  PEERS_PYTHON tools/make_tokenizer_vectors.py > tests/tokenizer_parts.json

PEERS_PYTHON has tokenizers, transformers and sentencepiece. The small charsmap is one that sentencepiece makes of
its own rules. Each part is given as tokenizer.json spells it; `null` for an output that equals the input.
"""
import base64
import io
import json
import pathlib
import shutil
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
import tokenizers
from tokenizers import Tokenizer
import transformers

TEXTS = [
    "", " ", "a", "Hello, world!", "  two  spaces ", "tab\there\nand\r\nlines\n\n", "I'll don't we've it's",
    "caf\u00e9 cafe\u0301 \u00c9COLE \u0130stanbul \u1e9e\u00df", "\u4f60\u597d\u4e16\u754c \u65e5\u672c\u8a9e\u3067\u3059\u3002",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea\u2764\ufe0f",
    "nul\u0000 bell\u0007 esc\u001b del\u007f \u008f\u009f\u0085x", "nbsp\u00a0em\u2003ideo\u3000zw\u200bbom\ufeffend\u2028p\u2029",
    "12 3.5 \u0664\u0662 \u00bd \u2167 x2y", "snake_case--dash __ \u201cquotes\u201d \u00bfque? $5 <tag> a@b.c", "\ufb01\ufb02 \uff21\uff22\uff23 \u2460 \u212b \u01c6",
    "a\u0300\u0316\u0301b \u0e01\u0e33 \u0928\u093f \u064b\u0644", "\u2581meta\u2581space \u2581", "<s>in text</s>[MASK] <x>",
    "\U00020000\U0002b800\U0002b830\u3007\uf900 mixed\u6f22\u5b57", "unaffable unaff playing plays aaaaaaaa", "-a--b---", "\ufffd\ue000\u00ad soft",
    "x" * 30 + " " + "yz" * 12, "low lower lowest newest widest",
]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}

NORMALIZERS = [
    {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"},
    {"type": "Nmt"}, {"type": "ByteLevel"}, {"type": "Prepend", "prepend": "\u2581"},
    {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "Strip", "strip_left": False, "strip_right": True},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    {"type": "Replace", "pattern": {"Regex": "\\s{2,}|a+"}, "content": "_"},
    {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": False, "strip_accents": True, "lowercase": False},
    {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": True, "strip_accents": False, "lowercase": False},
    {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
]

BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PRE_TOKENIZERS = [
    BYTE_LEVEL, BYTE_LEVEL | {"add_prefix_space": False, "use_regex": False},
    *({"type": "Split", "pattern": {"String": "-"}, "behavior": b, "invert": False} for b in BEHAVIORS),
    *({"type": "Split", "pattern": {"Regex": "[a-z]+|\\d"}, "behavior": b, "invert": True} for b in BEHAVIORS),
    {"type": "Split", "invert": False, "behavior": "Isolated", "pattern": {"Regex":
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False},
    *({"type": "Punctuation", "behavior": b} for b in BEHAVIORS),
    {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
    {"type": "CharDelimiterSplit", "delimiter": "-"}, {"type": "FixedLength", "length": 3},
    *({"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": s, "split": split}
      for s in ("always", "first", "never") for split in (True, False)),
    {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"},
                                           {"type": "Digits", "individual_digits": True}]},
]

TOKENS = [
    [], ["a"], ["un", "##aff", "##able", "!", "do", "n't", " ' ", ",", "##"], ["low</w>", "er", "</w>", "x</w>y", "end</w>"],
    ["\u2581Hello", "\u2581\u2581", "wor\u2581ld", "x"], ["<0xE4>", "<0xBD>", "<0xA0>", "a", "<0xFF>", "<0x41>", "<0xe4>"],
    ["\u0120Hello", "\u00c3", "\u00a9", "\u4f60", "\u00e4\u00bd", "\u0142"], ["  x  ", " ", "\u2581"],
    [" .", " ?", "it", "'s", " do not", "we", " 've", "## ", "##'re"],
]
DECODERS = [
    BYTE_LEVEL, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "Strip", "content": " ", "start": 2, "stop": 0}, {"type": "Strip", "content": " ", "start": 0, "stop": 1},
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never", "split": True},
    {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "WordPiece", "prefix": "##", "cleanup": False},
    {"type": "BPEDecoder", "suffix": "</w>"},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"},
                                      {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
]


def vocabulary(pieces):
    return {p: i for i, p in enumerate(dict.fromkeys(pieces))}


def bpe(pieces, merges, **more):
    return {"type": "BPE", "vocab": vocabulary(pieces), "merges": [list(m) for m in merges], **more}


def flags(content, **more):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True,
            **more}


def special(i, content, **more):
    return {"id": i, **flags(content, **more)}


def models():
    """-> name: tokenizer.json as far as it matters."""
    letters = list("abcdefghijklmnopqrstuvwxyz'-,.!")
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    suffixed = letters + [c + "</w>" for c in letters]
    clip = [("l", "o"), ("lo", "w</w>"), ("e", "r</w>"), ("lo", "w"), ("low", "er</w>"), ("e", "s"), ("es", "t</w>"),
            ("a", "a"), ("aa", "aa</w>"), ("a", "a</w>")]
    prefixed = letters + ["##" + c for c in letters]
    gpt = [("p", "##l"), ("##a", "##y"), ("pl", "##ay"), ("##i", "##n"), ("##in", "##g"), ("##a", "##a"), ("a", "##aa")]
    bert = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "un", "##aff", "##able", "play", "##ing", "##s", "##a", "aa",
            "\u4f60", "cafe", "hello", "world", "low", "##er", "##est", "##"]
    scored = [["<unk>", 0.0], ["<s>", 0.0], ["\u2581", -2.0], ["a", -3.0], ["\u2581a", -2.5], ["e", -3.1], ["l", -3.2],
              ["o", -3.3], ["lo", -4.0], ["\u2581low", -4.5], ["er", -4.2], ["est", -5.0], ["\u4f60\u597d", -6.0],
              ["w", -3.9], ["s", -3.8], ["t", -3.7], ["aaaa", -7.0]]
    joined = ["".join(m) for m in clip]
    unk = {"unk_token": "<unk>"}
    yield "clip", {
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
        "model": bpe(["<unk>"] + suffixed + joined, clip, end_of_word_suffix="</w>", **unk)}
    yield "clip bytes", {
        "pre_tokenizer": BYTE_LEVEL | {"add_prefix_space": False}, "decoder": BYTE_LEVEL,
        "model": bpe(["<unk>"] + suffixed + ["\u00c3", "\u00a9</w>", "\u0120"] + joined, clip,
                     end_of_word_suffix="</w>", continuing_subword_prefix="", **unk)}
    yield "prefixed", {
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": bpe(["<unk>"] + prefixed + [a + b[2:] for a, b in gpt], gpt, continuing_subword_prefix="##",
                     fuse_unk=True, **unk)}
    yield "affixed bytes", {
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": {"type": "ByteFallback"},
        "model": bpe(bytes_ + prefixed + [c + "</w>" for c in prefixed] + ["##ay</w>"], [("##a", "##y</w>")],
                     byte_fallback=True, continuing_subword_prefix="##", end_of_word_suffix="</w>")}
    yield "fallback", {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, "decoder": DECODERS[-1],
        "model": bpe(["<unk>", "<s>"] + bytes_ + letters + ["\u2581", "\u2581a", "aa"], [("\u2581", "a"), ("a", "a")],
                     byte_fallback=True, fuse_unk=True, **unk),
        "added_tokens": [special(1, "<s>"), special(292, "<x>", lstrip=True, special=False, normalized=True)]}
    yield "unk", {
        "pre_tokenizer": {"type": "Whitespace"},
        "model": bpe(["<unk>"] + letters + ["lo", "low"], [("l", "o"), ("lo", "w")], **unk)}
    yield "whole words", {
        "pre_tokenizer": {"type": "Whitespace"},
        "model": bpe(["<unk>"] + letters + ["lo", "low", "lower", "caf\u00e9"], [("l", "o"), ("lo", "w")], fuse_unk=True,
                     ignore_merges=True, **unk)}
    yield "bert", {
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                       "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
        "added_tokens": [special(i, t) for i, t in enumerate(bert[:3])] + [special(3, "[MASK]", lstrip=True)],
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 20, "vocab": vocabulary(bert)}}
    yield "words", {
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True,
                           "add_prefix_space": False},
        "added_tokens": [special(0, "<s>"), special(1, "</s>", rstrip=True)],
        "model": {"type": "WordLevel", "vocab": vocabulary(["<s>", "</s>", "<unk>", "Hello", "world", ",", "!", "low", "a",
                                                            "caf\u00e9", "_", "in", "text"]), **unk}}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield "unigram", {
        "pre_tokenizer": metaspace, "decoder": metaspace,
        "post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}]},
        "added_tokens": [special(1, "<s>")],
        "model": {"type": "Unigram", "unk_id": 0, "vocab": scored, "byte_fallback": False}}
    yield "unigram bytes", {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True,
                  "vocab": scored + [[byte, -10.0] for byte in bytes_]}}


def charsmap():
    """-> base64 of what sentencepiece makes of a few rules, some of them prefixes of others."""
    rules = {"\ufb01": "fi", "\uff21": "A", "\u3000": " ", "\u00a0": " ", "e\u0301": "\u00e9", "a": "b", "a\u0300": "\u00e0", "\u0007": "", "\u00bd": "1\u20442",
             "\u200d": " ", "\u0130": "i", "zz": "Z", "\U0001f1e9": "D", "\t": " ", "\n": " "}
    with tempfile.TemporaryDirectory() as folder:
        tsv = pathlib.Path(folder) / "rules.tsv"
        tsv.write_text("".join(" ".join(f"{ord(c):X}" for c in k) + "\t" + " ".join(f"{ord(c):X}" for c in v) + "\n" for k, v in rules.items()))
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["some text to train on"] * 20), model_writer=out, vocab_size=20,
                                                 normalization_rule_tsv=str(tsv), hard_vocab_limit=False, minloglevel=2)
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(out.getvalue())
    return base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()


def tokenizer(document):
    """The package's tokenizer; parts that a document leaves out are null, added tokens none."""
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
             "decoder": None, **document}
    return Tokenizer.from_str(json.dumps(whole))


def with_part(**part):
    return tokenizer({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, **part})


FOLDER_TEXTS = TEXTS[3:10] + TEXTS[12:15] + ["Hello world<|endoftext|>", "a <x> b<y><pad>  c</s>", " 123 don't"]
FOLDERS = [
    {}, {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>"}},
    {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": True,
                               "bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>"}},
    {"tokenizer_config.json": {"tokenizer_class": "GPT2TokenizerFast", "add_bos_token": True},
     "special_tokens_map.json": {"bos_token": {"content": "<|endoftext|>", "lstrip": False, "normalized": True,
                                               "rstrip": False, "single_word": False},
                                 "eos_token": "<|endoftext|>", "pad_token": "<pad>", "additional_special_tokens": ["<x>"]},
     "added_tokens.json": {"<y>": 50257, "<pad>": 50258}},
    {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                               "unk_token": "<|endoftext|>", "added_tokens_decoder": {
        "50256": flags("<|endoftext|>"), "50257": flags("<x>", lstrip=True, rstrip=True, special=False),
        "50258": flags("<y>", single_word=True, special=False)}}},
]


def folder_ids(files):
    """-> what transformers makes of GPT-2's vocabulary in a folder with these files."""
    data = pathlib.Path(__file__).resolve().parents[2] / "shared/data/tokenizers"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(data / f"gpt2_{name}", pathlib.Path(folder) / name)
        for name, content in ({"config.json": {"model_type": "gpt2"}} | files).items():
            (pathlib.Path(folder) / name).write_text(json.dumps(content))
        made = transformers.AutoTokenizer.from_pretrained(folder)
        return {"files": files, "bos": made.bos_token_id, "eos": made.eos_token_id, "ids": [made.encode(t) for t in FOLDER_TEXTS],
                "decoded": [made.decode(made.encode(t), skip_special_tokens=True) for t in FOLDER_TEXTS]}


def outputs(f, inputs=TEXTS):
    return [None if out == x else out for x in inputs for out in [f(x)]]


def main():
    vectors = {"tokenizers": tokenizers.__version__, "texts": TEXTS, "tokens": TOKENS, "normalizers": [], "pre_tokenizers": [], "decoders": [], "models": []}
    for part in NORMALIZERS + [{"type": "Precompiled", "precompiled_charsmap": charsmap()}]:
        vectors["normalizers"].append({"part": part, "out": outputs(with_part(normalizer=part).normalizer.normalize_str)})
    for part in PRE_TOKENIZERS:
        split = with_part(pre_tokenizer=part).pre_tokenizer.pre_tokenize_str
        vectors["pre_tokenizers"].append({"part": part, "out": [[word for word, _ in split(text)] if text else [] for text in TEXTS]})
    for part in DECODERS:
        vectors["decoders"].append({"part": part, "out": [with_part(decoder=part).decoder.decode(tokens) if tokens else "" for tokens in TOKENS]})
    for name, document in models():
        made = tokenizer(document)
        ids = [made.encode(text).ids for text in TEXTS]
        vectors["models"].append({"name": name, "tokenizer": document, "ids": ids,
                                  "plain": [made.encode(t, add_special_tokens=False).ids for t in TEXTS] if "post_processor" in document else None,
                                  "decoded": [made.decode(i, skip_special_tokens=False) for i in ids],
                                  "skipped": [made.decode(i, skip_special_tokens=True) for i in ids]})
    vectors["folder_texts"] = FOLDER_TEXTS
    vectors["folders"] = [folder_ids(files) for files in FOLDERS]
    json.dump(vectors, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()

"""GGUF files as models: logits of golden models written as GGUF, block types, split files, and every command
that takes a MODEL."""
import json
import shutil

import gguf_files
import numpy as np
import pytest
from folders import read_safetensors
from nibble import SHARED, TALES, needs_shared, refused, run, run_json

GOLDEN = SHARED / "models/golden"
pytestmark = needs_shared


def logits(model, ids, folder, *options):
    out = folder / "logits.safetensors"
    run("logits", model, "--ids", ",".join(map(str, ids)), "-o", out, *options)
    return gguf_files.read_arrays(out)["logits"]


def golden(name):
    found = gguf_files.read_arrays(GOLDEN / name / "golden.safetensors")
    return found["input_ids"], found["logits"]


@pytest.mark.parametrize("name, make", [
    ("llama", gguf_files.llama), ("llama-bias", gguf_files.llama), ("mistral-window", gguf_files.llama),
    ("mixtral", gguf_files.llama), ("qwen2", gguf_files.qwen2), ("gemma", gguf_files.gemma),
    ("falcon-new", gguf_files.falcon), ("gpt2", gguf_files.gpt2),
    ("gptj", gguf_files.gptj)])
def test_golden_logits(tmp_path, name, make):
    file = tmp_path / "model.gguf"
    gguf_files.write(file, *make(GOLDEN / name))
    ids, want = golden(name)
    got = logits(file, ids, tmp_path)
    assert np.abs(got - want).max() <= 1e-3 * want.std()


def test_bloom_is_its_folder(tmp_path):
    folder = SHARED / "models/tales-bloom-2m"
    file = tmp_path / "model.gguf"
    gguf_files.write(file, *gguf_files.bloom(folder))
    ids = range(40, 80)
    want = logits(folder, ids, tmp_path)
    assert np.abs(logits(file, ids, tmp_path) - want).max() <= 1e-4 * want.std()


def test_llama3_factors_turn_as_the_config_says(tmp_path):
    """What the converter writes for Llama 3's scaling: a factor for each frequency."""
    metadata, tensors = gguf_files.llama(GOLDEN / "llama3-rope")
    rope = json.loads((GOLDEN / "llama3-rope/config.json").read_text())["rope_parameters"]
    wave = 2 * np.pi * rope["rope_theta"] ** (np.arange(8) / 8)
    slow = rope["original_max_position_embeddings"] / wave
    smooth = np.clip((slow - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"]), 0, 1)
    factors = 1 / ((1 - smooth) / rope["factor"] + smooth)
    file = tmp_path / "model.gguf"
    gguf_files.write(file, metadata, tensors | {"rope_freqs.weight": factors.astype(np.float32)})
    ids, want = golden("llama3-rope")
    assert np.abs(logits(file, ids, tmp_path) - want).max() <= 1e-3 * want.std()


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16"])
def test_block_types_mean_what_they_hold(tmp_path, kind):
    """The logits of a file of blocks are those of the floats that the blocks stand for."""
    metadata, tensors = gguf_files.llama(GOLDEN / "llama")
    types = {n: kind for n, a in tensors.items() if a.ndim == 2 and a.shape[1] % 32 == 0}
    blocks, floats = tmp_path / "blocks.gguf", tmp_path / "floats.gguf"
    values = gguf_files.write(blocks, metadata, tensors, types)
    gguf_files.write(floats, metadata, values)
    ids = golden("llama")[0]
    want = logits(floats, ids, tmp_path)
    got = logits(blocks, ids, tmp_path)
    assert np.abs(got - want).max() <= 1e-4 * want.std()
    stored = run_json("inspect", blocks)["stored"]
    assert stored["dtypes"][kind] == len(types)
    assert set(stored["schemes"]) == ({kind} if kind != "F16" else set())
    if kind in ("Q4_0", "Q8_0"):  # these run on integer kernels as they are
        error = logits(blocks, ids, tmp_path, "--activations", "int8") - want
        assert 0 < error.std() < 0.05 * want.std()


def split(path, metadata, tensors, folder):
    """The file in two parts, as llama-gguf-split names them."""
    names = sorted(tensors)
    for i, part in enumerate([names[:7], names[7:]]):
        meta = metadata if i == 0 else {"general.alignment": 32}
        gguf_files.write(folder / f"{path}-{i + 1:05}-of-00002.gguf",
                         meta | {"split.no": i, "split.count": 2, "split.tensors.count": len(names)},
                         {n: tensors[n] for n in part})


def test_split_files(tmp_path):
    metadata, tensors = gguf_files.llama(GOLDEN / "llama")
    (tmp_path / "model").mkdir()
    split("m", metadata, tensors, tmp_path / "model")
    ids, want = golden("llama")
    for model in ["model", "model/m-00001-of-00002.gguf", "model/m-00002-of-00002.gguf"]:
        assert np.abs(logits(tmp_path / model, ids, tmp_path) - want).max() <= 1e-3 * want.std()
    (tmp_path / "model/m-00002-of-00002.gguf").unlink()
    refused("inspect", tmp_path / "model", words=["m-00002-of-00002.gguf", "is missing"])
    gguf_files.write(tmp_path / "model/other.gguf", metadata, tensors)
    (tmp_path / "model/m-00001-of-00002.gguf").unlink()
    gguf_files.write(tmp_path / "model/another.gguf", metadata, tensors)
    refused("inspect", tmp_path / "model", words=["several models"])


def tales(path, types=None, times=1):
    """tales-3.7m with its tokenizer, as the converter would write it; its four blocks so many times."""
    metadata, tensors = gguf_files.llama(TALES)
    metadata |= {"llama.block_count": 4 * times}
    tensors |= {f"blk.{int(layer) + 4 * i}.{name}": tensors[key] for i in range(1, times) for key in list(tensors)
                if key.startswith("blk.") for layer, name in [key[4:].split(".", 1)]}
    document = json.loads((TALES / "tokenizer.json").read_text())
    vocab = {t: i for t, i in document["model"]["vocab"].items()}
    special = {t["content"]: t["id"] for t in document["added_tokens"]}
    tokens = sorted(vocab | special, key=(vocab | special).get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in document["model"]["merges"]]
    config = json.loads((TALES / "config.json").read_text())
    metadata |= {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": ("text", tokens),
        "tokenizer.ggml.token_type": ("i32", [3 if t in special else 1 for t in tokens]),
        "tokenizer.ggml.merges": ("text", merges), "tokenizer.ggml.bos_token_id": config["bos_token_id"],
        "tokenizer.ggml.eos_token_id": config["eos_token_id"], "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    }
    gguf_files.write(path, metadata, tensors, types and {n: types for n in tensors if n.startswith("blk.") and
                                                         tensors[n].ndim == 2 and tensors[n].shape[1] % 32 == 0})


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tales.gguf"
    tales(path)
    return path


def test_tokens_and_text_are_the_folders(story, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time, Lily's dog ran 12 miles!\n\n  Ünïcode 🦙 too.<|endoftext|>")
    assert run_json("tokenize", story, "-f", text)["ids"] == run_json("tokenize", TALES, "-f", text)["ids"]
    same = ["-p", "Once upon a time", "-n", "24", "--temperature", "0"]
    assert run("run", story, *same).stdout == run("run", TALES, *same).stdout


def test_chat_template(story, tmp_path):
    messages = tmp_path / "m.json"
    messages.write_text(json.dumps([{"role": "user", "content": "hi"}]))
    bos = json.loads((TALES / "tokenizer_config.json").read_text())["bos_token"]
    assert run("template", story, "--messages", messages).stdout == f"{bos}user: hi\n"
    assert run("run", story, "--chat", "-p", "hi", "-n", "3").stdout


def test_quantize_from_floats_is_quantize_from_the_folder(story, tmp_path):
    for source, out in [(story, "gguf"), (TALES, "folder")]:
        run("quantize", source, "-o", tmp_path / out, "--scheme", "w4g32", "--method", "rtn")
    a, b = (read_safetensors(tmp_path / n / "model.safetensors") for n in ["gguf", "folder"])
    packed = [n for n in b if n.endswith("weight_packed")]
    assert packed and all(a[n] == b[n] for n in packed)
    assert set(a) == set(b)
    text = tmp_path / "text.txt"
    text.write_text("A small cat.")
    assert run_json("tokenize", tmp_path / "gguf", "-f", text)["ids"] == run_json("tokenize", TALES, "-f", text)["ids"]
    report = run_json("eval", tmp_path / "gguf", "--against", story, "--text", TALES / "held_out.txt", "--tokens", "600")
    assert 0 < report["kl_mean"] < 0.2


def test_conv1d_goes_back_to_its_folders_shape(tmp_path):
    file = tmp_path / "model.gguf"
    gguf_files.write(file, *gguf_files.gpt2(GOLDEN / "gpt2"))
    run("quantize", file, "-o", tmp_path / "out", "--scheme", "w8", "--method", "rtn")
    ids, want = golden("gpt2")
    assert np.abs(logits(tmp_path / "out", ids, tmp_path) - want).max() < 0.2 * want.std()


def test_quantized_sources_are_refused(tmp_path):
    file = tmp_path / "q.gguf"
    tales(file, "Q8_0")
    refused("quantize", file, "-o", tmp_path / "out", "--scheme", "w4", "--method", "rtn", leaves=None,
            words=["is quantized already", "nibble dequantize"])
    assert run("run", file, "-p", "Once", "-n", "2", "--activations", "int8").stdout


def test_a_mixture_of_a_calibrated_quantizer_is_kept(tmp_path):
    """With knowledge of the inputs the first eighth of q4_0's down projections is Q4_1, without Q4_0."""
    file, source = tmp_path / "floats.gguf", tmp_path / "q4_0.gguf"
    tales(file, times=2)
    run("quantize", file, "-o", source, "--scheme", "q4_0", "--method", "rtn-imatrix", "--calibration",
        TALES / "calibration.txt", "--windows", 2)
    assert run_json("inspect", source)["stored"]["dtypes"]["Q4_1"] == 1
    seen = run_json("export", source, "--to", "gguf:q4_0", "-o", tmp_path / "out")
    assert seen["exact"] and seen["round_trip"]["lossless"]
    assert run_json("inspect", tmp_path / "out")["stored"]["dtypes"]["Q4_1"] == 1
    run("export", file, "--to", "gguf:q4_0", "-o", tmp_path / "floats")
    assert "Q4_1" not in run_json("inspect", tmp_path / "floats")["stored"]["dtypes"]


@pytest.mark.parametrize("change, words", [
    ({"general.architecture": "mamba"}, ["architecture \"mamba\" is not known", "llama"]),
    ({"llama.block_count": 4}, ["blk.3.attn_q.weight"]),
    ({"llama.attention.head_count": 3}, ["heads"]),
    ({"llama.attention.head_count": 0}, ["0"]),
    ({"llama.rope.scaling.type": "magic"}, ["magic"]),
    ({"llama.embedding_length": "many"}, ["embedding_length", "whole number"]),
])
def test_bad_metadata(tmp_path, change, words):
    metadata, tensors = gguf_files.llama(GOLDEN / "llama")
    file = tmp_path / "bad.gguf"
    gguf_files.write(file, metadata | change, tensors)
    refused("inspect", file, words=words)


@pytest.mark.parametrize("change, words", [
    ({"tokenizer.ggml.model": "bert"}, ["bert", "known: llama, gpt2"]),
    ({"tokenizer.ggml.pre": "martian"}, ["martian", "qwen2"]),
    ({"tokenizer.ggml.tokens": ("text", [b"\xff", b"a"])}, ["token 0", "UTF-8"]),
    ({"tokenizer.ggml.token_type": ("i32", [1])}, ["1 types"]),
    ({"tokenizer.ggml.merges": ("text", ["a"])}, ["merge 0"]),
])
def test_bad_tokenizers(tmp_path, change, words):
    tokens = ["a", "b", "ab"]
    metadata = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2",
                "tokenizer.ggml.tokens": ("text", tokens), "tokenizer.ggml.merges": ("text", ["a b"])}
    file = tmp_path / "bad.gguf"
    gguf_files.write(file, metadata | change, {})
    text = tmp_path / "t.txt"
    text.write_text("ab")
    refused("tokenize", file, "-f", text, words=words)


# llama.cpp looks up Phi-3's special tokens in any model of that name, and ends where the vocabulary lacks one.
@pytest.mark.parametrize("name,kept", [("tales", True), ("tales-Phi-3", False)])
def test_a_name_that_llama_cpp_fails_on_is_left_out(tmp_path, name, kept):
    model = tmp_path / name
    model.symlink_to(TALES)
    notes = run_json("export", model, "--to", "gguf", "-o", tmp_path / "out")["notes"]
    assert (b"general.name" in (tmp_path / "out/model.gguf").read_bytes()) == kept
    assert any("general.name is left out" in note and '"</s>"' in note for note in notes) != kept


@pytest.mark.parametrize("part, key, value, words", [
    (None, "normalizer", "NFC", '"normalizer" should be an object'),
    (None, "normalizer", {"type": 1}, '"type" should be a text'),
    ("pre_tokenizer", "type", 1, '"type" should be a text'),
    ("pre_tokenizer", "use_regex", "yes", '"use_regex" should be true or false'),
    ("pre_tokenizer", "use_regex", None, ""),
    ("model", "ignore_merges", 1, '"ignore_merges" should be true or false'),
    ("model", "ignore_merges", None, "")])
def test_a_tokenizer_of_odd_types(tmp_path, part, key, value, words):
    shutil.copytree(TALES, tmp_path / "model")
    path = tmp_path / "model/tokenizer.json"
    document = json.loads(path.read_text())
    (document[part] if part else document)[key] = value
    path.write_text(json.dumps(document))
    command = ["export", tmp_path / "model", "--to", "gguf:q8_0", "-o", tmp_path / "out"]
    if words:
        refused(*command, words=["tokenizer.json", words])
    else:
        run(*command)

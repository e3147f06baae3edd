"""Weights that lie: every case is one line on standard error, exit code 1, nothing written."""
import json
import os
import struct

import pytest
from folders import Folder, layout, read_safetensors, write_raw, write_safetensors
from nibble import refused

UP = "model.layers.0.mlp.up_proj.weight"
DOWN = "model.layers.3.mlp.down_proj.weight"
FILE = "model.safetensors"


def edit_header(change):
    return lambda folder: folder.header(change)


def edit_tensors(change):
    return lambda folder: folder.tensors(change)


def edit_bytes(change):
    return lambda folder: folder.weights.write_bytes(change(folder.weights.read_bytes()))


def set_length(length):
    """The first eight bytes say that the header has this length."""
    return edit_bytes(lambda blob: struct.pack("<Q", length) + blob[8:])


def raw_header(text):
    return lambda folder: write_raw(folder.weights, text, b"")


def set_entry(name, **fields):
    return edit_header(lambda header: header[name].update(fields))


def shift(name, begin, end):
    def change(header):
        offsets = header[name]["data_offsets"]
        header[name]["data_offsets"] = [offsets[0] + begin, offsets[1] + end]
    return edit_header(change)


def huge_header(folder):
    """A sparse file whose header claims 150 MB."""
    with open(folder.weights, "wb") as f:
        f.write(struct.pack("<Q", 150_000_000) + b"{}")
        f.truncate(160_000_000)


def duplicate_name(folder):
    header, data = layout(read_safetensors(folder.weights))
    text = json.dumps(header)
    entry = json.dumps({UP: header[UP]})[1:-1]
    write_raw(folder.weights, (text[:-1] + ", " + entry + "}").encode(), data)


def same_bytes_twice(header):
    """Two tensors over the same bytes, the second one's own bytes left as a hole."""
    header[DOWN]["data_offsets"] = header[UP]["data_offsets"]


CONTAINER = {
    "empty file": edit_bytes(lambda blob: b""),
    "seven bytes": edit_bytes(lambda blob: blob[:7]),
    "length only": edit_bytes(lambda blob: blob[:8]),
    "cut in the header": edit_bytes(lambda blob: blob[:100]),
    "cut in the data": edit_bytes(lambda blob: blob[:-1000]),
    "one byte too many": edit_bytes(lambda blob: blob + b"x"),
    "header length 0": set_length(0),
    "header longer than the file": set_length(1 << 30),
    "header length 2^63": set_length(1 << 63),
    "header length 2^64-8": set_length((1 << 64) - 8),
    "header over 100 MB": huge_header,
    "not JSON": raw_header(b"hello, world    "),
    "JSON cut off": raw_header(b'{"a": {"dtype": "F32"'),
    "not an object": raw_header(b"[1, 2, 3]"),
    "nested 100,000 deep": raw_header(b'{"a":' * 100_000),
    "invalid UTF-8 in a name": raw_header(b'{"\xff\xfe": {}}'),
    "same name twice": duplicate_name,
    "unknown dtype": set_entry(UP, dtype="F7"),
    "entry without a shape": edit_header(lambda header: header[UP].pop("shape") and header),
    "negative dimension": set_entry(UP, shape=[-768, -256]),
    "fractional dimension": set_entry(UP, shape=[768.5, 256]),
    "shape product wraps": set_entry(UP, shape=[1 << 32, 1 << 32]),
    "shape times size wraps": set_entry(UP, shape=[1 << 31, 1 << 31]),
    "dimension over 2^64": set_entry(UP, shape=[1 << 70, 1]),
    "shape and bytes disagree": set_entry(UP, shape=[768, 257]),
    "dtype and bytes disagree": set_entry(UP, dtype="F32"),
    "overlapping offsets": shift(UP, -2, -2),
    "two tensors on the same bytes": edit_header(same_bytes_twice),
    "hole between tensors": shift(UP, 2, 2),
    "offsets reversed": set_entry(UP, data_offsets=[1000, 10]),
    "negative offset": set_entry(UP, data_offsets=[-2, 393214]),
    "offset beyond the end": set_entry(UP, data_offsets=[1 << 40, (1 << 40) + 393216]),
    "offset over 2^63": set_entry(UP, data_offsets=[(1 << 64) - 393216, 1 << 64]),
}


def refill(name, values):
    """Puts bfloat16 words into the middle of a tensor."""
    def change(tensors):
        dtype, shape, raw = tensors[name]
        middle = len(raw) // 4 * 2
        tensors[name] = dtype, shape, raw[:middle] + values + raw[middle + len(values):]
    return edit_tensors(change)


def reshaped(name, shape):
    return edit_tensors(lambda t: t.update({name: (t[name][0], shape, t[name][2])}))


TENSORS = {  # the tensor's name must be in the message
    "missing tensor": (UP, edit_tensors(lambda t: t.pop(UP))),
    "missing norm": ("model.norm.weight", edit_tensors(lambda t: t.pop("model.norm.weight"))),
    "transposed": (UP, reshaped(UP, [256, 768])),
    "flat": (UP, reshaped(UP, [768 * 256])),
    "integers as weights": (UP, edit_tensors(lambda t: t.update({UP: ("I16", *t[UP][1:])}))),
    "NaN": (DOWN, refill(DOWN, b"\xc0\x7f")),
    "infinity": (DOWN, refill(DOWN, b"\x80\x7f")),
    "minus infinity": (DOWN, refill(DOWN, b"\x80\xff")),
}


@pytest.mark.parametrize("case", CONTAINER)
def test_container(case, tmp_path):
    folder = Folder(tmp_path / "model")
    CONTAINER[case](folder)
    for args in (["inspect", folder.path], ["run", folder.path, "-p", "Once", "-n", 1],
                 ["quantize", folder.path, "-o", tmp_path / "out", "--scheme", "w4g128"]):
        refused(*args, words=[FILE], leaves=tmp_path)


@pytest.mark.parametrize("case", TENSORS)
def test_tensor(case, tmp_path):
    name, change = TENSORS[case]
    folder = Folder(tmp_path / "model")
    change(folder)
    refused("quantize", folder.path, "-o", tmp_path / "out", "--scheme", "w4g128",
            words=[name], leaves=tmp_path)


def test_shards_are_read(tmp_path):
    from nibble import TALES, run
    folder = Folder(tmp_path / "model")
    folder.shards()
    args = ["-p", "Once upon a time", "-n", 8, "--temperature", 0]
    assert run("run", folder.path, *args).stdout == run("run", TALES, *args).stdout


def set_shard(value):
    return lambda folder, index: index["weight_map"].update({UP: value})


def no_shard(folder, index):
    (folder.path / index["weight_map"][UP]).unlink()


def cut_shard(folder, index):
    os.truncate(folder.path / index["weight_map"][UP], 1000)


def tensor_gone(folder, index):
    file = folder.path / index["weight_map"][UP]
    write_safetensors(file, {k: v for k, v in read_safetensors(file).items() if k != UP})


SHARDS = {
    "missing shard": ("-of-00002", no_shard),
    "truncated shard": ("-of-00002", cut_shard),
    "tensor not in its shard": (UP, tensor_gone),
    "shard above the folder": ("../model.safetensors", set_shard("../model.safetensors")),
    "shard by absolute path": ("/etc/passwd", set_shard("/etc/passwd")),
    "shard name not text": ("index.json", set_shard(7)),
    "map is no object": ("index.json", lambda folder, index: index.update(weight_map=[1])),
    "map missing": ("index.json", lambda folder, index: index.pop("weight_map")),
}


@pytest.mark.parametrize("case", SHARDS)
def test_shards(case, tmp_path):
    word, change = SHARDS[case]
    folder = Folder(tmp_path / "model")
    index = folder.shards()
    change(folder, index)
    folder.index(index)
    refused("quantize", folder.path, "-o", tmp_path / "out", "--scheme", "w4g128",
            words=[word], leaves=tmp_path)


def test_index_that_is_not_json(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.shards()
    (folder.path / "model.safetensors.index.json").write_text("{")
    refused("inspect", folder.path, words=["model.safetensors.index.json"], leaves=tmp_path)


def test_no_weights_at_all(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.weights.unlink()
    refused("run", folder.path, "-p", "Once", words=[folder.path], leaves=tmp_path)

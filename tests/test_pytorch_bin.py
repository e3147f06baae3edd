"""pytorch_model.bin in place of safetensors: the same model, and nothing of it is run."""
import json
import random
import struct
import zipfile

import pytest
from folders import Folder, read_safetensors
from nibble import TALES, refused, run_json
from pickles import name, pickle_of, tensor, text, write, write_tensors

ASK = ("-p", "Once upon a time", "-n", 12, "--temperature", 0)


def pickled(folder):
    """Replaces a folder's weights -> its tensors and the path for pytorch_model.bin."""
    tensors = read_safetensors(folder.weights)
    folder.weights.unlink()
    return tensors, folder.path / "pytorch_model.bin"


@pytest.fixture(scope="module")
def expected():
    return run_json("run", TALES, *ASK)["ids"]


def test_single_file(tmp_path, expected):
    folder = Folder(tmp_path / "m")
    tensors, path = pickled(folder)
    write_tensors(path, tensors)
    assert run_json("run", folder.path, *ASK)["ids"] == expected
    assert run_json("inspect", folder.path)["parameters"] == run_json("inspect", TALES)["parameters"]


def test_shards(tmp_path, expected):
    folder = Folder(tmp_path / "m")
    tensors, _ = pickled(folder)
    names, index = sorted(tensors), {"weight_map": {}}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-{i:05}-of-00002.bin"
        write_tensors(folder.path / file, {n: tensors[n] for n in part})
        index["weight_map"] |= dict.fromkeys(part, file)
    (folder.path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert run_json("run", folder.path, *ASK)["ids"] == expected
    index["weight_map"]["more"] = "pytorch_model-00001-of-00002.bin"
    (folder.path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    refused("inspect", folder.path, words=["more", "promises"])


def test_zip64(tmp_path, expected, monkeypatch):
    """As of an archive beyond 4 GB: sizes and offsets in the records' extra fields, an end record of 64 bits."""
    folder = Folder(tmp_path / "m")
    tensors, path = pickled(folder)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    write_tensors(path, tensors)
    raw = path.read_bytes()
    raw = raw[:-6] + b"\xff" * 4 + raw[-2:]  # Python says the directory's offset twice
    path.write_bytes(raw)
    assert run_json("run", folder.path, *ASK)["ids"] == expected
    at = raw.rindex(b"PK\6\7") + 8  # the locator's offset of that record
    path.write_bytes(raw[:at] + struct.pack("<Q", len(raw)) + raw[at + 8:])
    refused("inspect", folder.path, words=["zip64"])


def transposed(data, rows, columns, size):
    return b"".join(data[(r * columns + c) * size:(r * columns + c + 1) * size]
                    for c in range(columns) for r in range(rows))


def test_shared_storage_offsets_and_strides(tmp_path, expected):
    folder = Folder(tmp_path / "m")
    tensors, path = pickled(folder)
    members, data = [], b""
    turned = "model.layers.0.self_attn.q_proj.weight"
    for key, (dtype, shape, raw) in tensors.items():
        assert dtype == "BF16"
        offset, strides = len(data) // 2, None
        if key == turned:  # stored as its transpose, which only strides tell
            raw, strides = transposed(raw, *shape, 2), [1, shape[0]]
        data += raw
        members.append((key, (offset, shape, strides)))
    total = len(data) // 2
    write(path, pickle_of([(k, tensor("BF16", "0", total, *where)) for k, where in members]), {"0": data})
    seen = run_json("run", folder.path, *ASK)
    assert seen["ids"] == expected


def bad_tensor(*args, **options):
    return lambda: pickle_of([("x", tensor(*args, **options))])


def call(module, attribute, arguments=b")"):
    return pickle_of([("x", name(module, attribute) + arguments + b"R")])


BAD = {  # a pickle beside a storage "0" of 16 bytes, and what the message must name
    "os.system": (lambda: call(b"posix", b"system", b"(" + text("touch /tmp/pwned") + b"t"), ["posix.system"]),
    "eval": (lambda: call(b"builtins", b"eval", b"(" + text("1") + b"t"), ["builtins.eval"]),
    "by the stack": (lambda: b"\x80\x04" + text("os") + text("popen") + b"\x93.", ["os.popen"]),
    "torch's own loader": (lambda: call(b"torch", b"load"), ["torch.load"]),
    "terminal escapes": (lambda: call(b"a\x1b[31m", b"b"), ["\\u001b[31m.b"]),
    "a global that is no function": (lambda: call(b"torch", b"FloatStorage"), ["FloatStorage"]),
    "reaches beyond": (bad_tensor("F32", "0", 4, 1, [2, 2]), ["x", "beyond its storage"]),
    "offset 2^62": (bad_tensor("F32", "0", 4, 1 << 62, [2]), ["x", "beyond its storage"]),
    "negative offset": (bad_tensor("F32", "0", 4, -1, [2]), ["x", "offset"]),
    "negative stride": (bad_tensor("F32", "0", 4, 3, [2], [-1]), ["x", "stride"]),
    "shape overflows": (bad_tensor("F32", "0", 4, 0, [1 << 40, 1 << 40]), ["x", "beyond its storage"]),
    "expanded": (bad_tensor("F32", "0", 4, 0, [1 << 30, 4], [0, 1]), ["x", "repeats"]),
    "strides overflow": (bad_tensor("F32", "0", 4, 0, [3], [1 << 62]), ["x", "beyond its storage"]),
    "shape and strides differ": (bad_tensor("F32", "0", 4, 0, [2, 2], [1]), ["x", "length"]),
    "nine dimensions": (bad_tensor("F32", "0", 4, 0, [1] * 9), ["x", "shape"]),
    "storage lies": (bad_tensor("F32", "0", 5, 0, [2]), ["x", "16 bytes"]),
    "storage of 2^62": (bad_tensor("F32", "0", 1 << 62, 0, [2]), ["elements"]),
    "no such storage": (bad_tensor("F32", "7", 4, 0, [2]), ["x", "no entry"]),
    "comes twice": (lambda: pickle_of([("x", tensor("F32", "0", 4, 0, [2]))] * 2), ["x", "twice"]),
    "no tensors": (lambda: pickle_of([("x", b"N")]), ["no tensors"]),
    "no dict": (lambda: b"\x80\x02N.", ["no dict"]),
    "empty": (lambda: b"", ["cut off"]),
    "cut": (lambda: pickle_of([("x", tensor("F32", "0", 4, 0, [2]))])[:-40], ["pickle"]),
    "unknown opcode": (lambda: b"\x80\x02\xff.", ["0xff"]),
    "version 9": (lambda: b"\x80\x09N.", ["version"]),
    "text of 4 GB": (lambda: b"X\xff\xff\xff\xff.", ["cut off"]),
    "text of 2^63": (lambda: b"\x8d" + b"\xff" * 8 + b".", ["cut off"]),
    "number of 255 bytes": (lambda: b"\x8a\xff" + b"1" * 255 + b".", ["number of 255 bytes"]),
    "empty stack": (lambda: b"\x80\x02tR.", ["mark"]),
    "pops beyond a mark": (lambda: b"\x80\x02N(a.", ["empty stack"]),
    "never remembered": (lambda: b"h\x05.", ["never remembered"]),
    "a million lists": (lambda: b"\x80\x02" + b"]" * 3_000_000 + b".", ["values"]),
    "deep": (lambda: b"\x80\x02]" + b"]" * 500_000 + b"a" * 500_000 + b".", ["no dict"]),
    "memo bomb": (lambda: b"\x80\x02]q\x00(" + b"h\x00" * 100 + b"eq\x01" + b"(h\x01" * 3_000_000 + b".",
                  ["values"]),
    "list in itself": (lambda: b"\x80\x02]q\x00h\x00a.", ["no dict"]),
    "calls a number": (lambda: b"\x80\x02K\x01)R.", ["cannot be called"]),
    "dict of odd items": (lambda: b"\x80\x02}(K\x01u.", ["no list or dict"]),
    "attributes of a number": (lambda: b"\x80\x02K\x01}b.", ["attributes"]),
    "an object of a number": (lambda: b"\x80\x02K\x01)\x81.", ["scripted module"]),
    "an object of torch's": (lambda: b"\x80\x02ctorch\nFloatStorage\n)\x81.", ["scripted module"]),
    "a scripted class called": (lambda: b"\x80\x02c__torch__\nA\n)R.", ["__torch__.A"]),
    "an object's state is no dict": (lambda: b"\x80\x02c__torch__\nA\n)\x81K\x01b.", ["attributes"]),
    "unknown data": (lambda: b"\x80\x02K\x01Q.", ["unknown way"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_pickle(case, tmp_path):
    make, words = BAD[case]
    folder = Folder(tmp_path / "m")
    _, path = pickled(folder)
    write(path, make(), {"0": bytes(16)})
    refused("inspect", folder.path, words=[path.name, *words], leaves=tmp_path)


def good_zip(path):
    write(path, pickle_of([("x", tensor("F32", "0", 4, 0, [2]))]), {"0": bytes(16)})
    return path.read_bytes()


def test_bad_archives(tmp_path):
    folder = Folder(tmp_path / "m")
    _, path = pickled(folder)
    whole = good_zip(path)
    end = whole.rindex(b"PK\x05\x06")
    central = whole.index(b"PK\x01\x02")
    far = bytearray(whole)
    far[end + 16:end + 20] = struct.pack("<I", len(whole) + 5)
    many = bytearray(whole)
    many[end + 10:end + 12] = struct.pack("<H", 60000)
    outside = bytearray(whole)
    outside[central + 42:central + 46] = struct.pack("<I", len(whole) - 10)
    large = bytearray(whole)
    large[central + 20:central + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    cases = [(b"", "no zip"), (b"PK", "too few"), (b"\x80\x02\x8a\x0alegacy torch file", "before 1.6"),
             (bytes(far), "outside the file"), (bytes(many), "outside the file"), (bytes(outside), "outside the file"),
             (bytes(large), "outside the file"), (b"PK\x03\x04" + bytes(200), "cut off")]
    for blob, word in cases:
        path.write_bytes(blob)
        refused("inspect", folder.path, words=[path.name, word])
    for cut in [*range(0, len(whole), 37), len(whole) - 1]:  # no prefix is a file
        path.write_bytes(whole[:cut])
        refused("inspect", folder.path, words=[path.name])
    write(path, pickle_of([]), {}, compression=zipfile.ZIP_DEFLATED)
    refused("inspect", folder.path, words=["compressed"])
    write(path, pickle_of([]), {}, more=[("byteorder", b"big")])
    refused("inspect", folder.path, words=["big-endian"])
    write(path, None, {"0": b""})
    refused("inspect", folder.path, words=["data.pkl"])


def test_random_damage_is_refused_or_harmless(tmp_path):
    folder = Folder(tmp_path / "m")
    _, path = pickled(folder)
    whole, chance = good_zip(path), random.Random(7)
    for _ in range(40):
        blob = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            blob[chance.randrange(len(blob))] = chance.randrange(256)
        path.write_bytes(bytes(blob))
        refused("inspect", folder.path)  # at least: this model lacks its tensors

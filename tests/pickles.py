"""pytorch_model.bin files by hand: torch.save's zip and pickle, without torch."""
import struct
import zipfile

STORAGE = {"F32": b"FloatStorage", "F16": b"HalfStorage", "BF16": b"BFloat16Storage", "I64": b"LongStorage"}
SIZE = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}


def text(s):
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def number(n):
    return b"\x8a\x08" + struct.pack("<q", n)


def row(values):
    return b"(" + b"".join(number(v) for v in values) + b"t"


def name(module, attribute):
    return b"c" + module + b"\n" + attribute + b"\n"


def strides_of(shape):
    out, step = [], 1
    for n in reversed(shape):
        out.insert(0, step)
        step *= n
    return out


def tensor(dtype, key, elements, offset, shape, strides=None):
    """The opcodes that make one tensor of a storage."""
    storage = (b"(" + text("storage") + name(b"torch", STORAGE[dtype]) + text(key) + text("cpu")
               + number(elements) + b"tQ")
    strides = strides_of(shape) if strides is None else strides
    return (name(b"torch._utils", b"_rebuild_tensor_v2") + b"(" + storage + number(offset) + row(shape)
            + row(strides) + b"\x89" + name(b"collections", b"OrderedDict") + b")R" + b"tR")


def pickle_of(members):
    """members: (name, opcodes of the value) -> the pickle of an OrderedDict, as state_dict() is."""
    body = b"".join(text(key) + value for key, value in members)
    metadata = b"}" + text("_metadata") + name(b"collections", b"OrderedDict") + b")Rsb"
    return b"\x80\x02" + name(b"collections", b"OrderedDict") + b")R(" + body + b"u" + metadata + b"."


def write(path, pickle, storages, root="archive", more=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as out:
        if pickle is not None:
            out.writestr(f"{root}/data.pkl", pickle)
        for key, data in storages.items():
            out.writestr(f"{root}/data/{key}", data)
        for entry, data in more:
            out.writestr(f"{root}/{entry}", data)


def write_tensors(path, tensors):
    """tensors: name -> (dtype, shape, bytes), each in a storage of its own."""
    members, storages = [], {}
    for i, (key, (dtype, shape, data)) in enumerate(tensors.items()):
        storages[str(i)] = data
        members.append((key, tensor(dtype, str(i), len(data) // SIZE[dtype], 0, shape)))
    write(path, pickle_of(members), storages)

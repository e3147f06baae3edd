"""A TFLite file without LiteRT: a reader of its flatbuffer by vtable slot (schema.fbs), and its operators in numpy as
LiteRT's reference kernels define them."""
import math
import struct

import numpy as np
from onnx_files import op_Gelu, op_Softmax

TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 6: np.bool_, 9: np.int8}
UINT8, INT8, INT4 = 3, 9, 17


class Table:
    """A flatbuffer's table at a place of `blob`; fields by slot."""

    def __init__(self, blob, at):
        self.blob, self.at = blob, at

    def place(self, slot):
        vtable = self.at - struct.unpack_from("<i", self.blob, self.at)[0]
        if 4 + 2 * slot >= struct.unpack_from("<H", self.blob, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", self.blob, vtable + 4 + 2 * slot)[0]
        return offset and self.at + offset

    def scalar(self, slot, kind, absent=0):
        at = self.place(slot)
        return struct.unpack_from("<" + kind, self.blob, at)[0] if at else absent

    def follow(self, at):
        return at + struct.unpack_from("<I", self.blob, at)[0]

    def raw(self, slot, size=1):
        """-> (begin, bytes) of a vector of elements of `size` bytes."""
        at = self.place(slot)
        if not at:
            return 0, b""
        at = self.follow(at)
        count = struct.unpack_from("<I", self.blob, at)[0]
        return at + 4, self.blob[at + 4:at + 4 + count * size]

    def list(self, slot, dtype):
        return np.frombuffer(self.raw(slot, np.dtype(dtype).itemsize)[1], dtype).tolist()

    def text(self, slot):
        return self.raw(slot)[1].decode()

    def table(self, slot):
        at = self.place(slot)
        return Table(self.blob, self.follow(at)) if at else None

    def tables(self, slot):
        begin, raw = self.raw(slot, 4)
        return [Table(self.blob, self.follow(begin + i)) for i in range(0, len(raw), 4)]


class Tensor:
    """.value: of a constant, as stored; int4 as int8. .scales: (rows, groups) of a weight's integers, or None."""

    def __init__(self, table, buffers):
        self.shape = tuple(table.list(0, np.int32))
        self.kind, self.name = table.scalar(1, "b"), table.text(3)
        self.buffer = table.scalar(2, "I")
        grid = table.table(4)
        self.scales = self.blocks = None
        self.zeros = []
        if grid:
            self.zeros = grid.list(3, np.int64)
            scales = grid.list(2, np.float32)
            self.scales = np.array(scales, np.float32).reshape(-1, 1) if scales else None
            if grid.scalar(4, "B") == 2:
                blocks = grid.table(5)
                assert blocks.scalar(1, "i") == -1
                self.blocks = blocks.scalar(0, "i"), blocks.scalar(2, "i")
        raw = buffers[self.buffer][1] if self.buffer else None
        self.value = None if raw is None else self.array(raw)

    def array(self, raw):
        count = math.prod(self.shape)
        if self.kind == INT4:
            packed = np.frombuffer(raw, np.uint8)
            flat = np.stack([packed & 15, packed >> 4], 1).reshape(-1)[:count].astype(np.int8)
            flat = (flat ^ 8) - 8
        else:
            flat = np.frombuffer(raw, TYPES[self.kind])
        assert len(flat) == count, self.name
        return flat.reshape(self.shape)


class TfliteFile:
    def __init__(self, path):
        blob = path.read_bytes()
        assert blob[4:8] == b"TFL3"
        model = Table(blob, struct.unpack_from("<I", blob)[0])
        assert model.scalar(0, "I") == 3
        self.codes = [max(c.scalar(3, "i"), c.scalar(0, "b")) for c in model.tables(1)]
        assert all(c.scalar(0, "b") == min(code, 127) and c.scalar(2, "i", 1) == 1
                   for c, code in zip(model.tables(1), self.codes))
        self.buffers = [b.raw(0) for b in model.tables(4)]
        assert not self.buffers[0][1] and all(begin % 16 == 0 for begin, _ in self.buffers)
        self.graphs = {g.text(4): self.graph(g) for g in model.tables(2)}
        self.signatures = {s.text(2): ([(t.text(0), t.scalar(1, "I")) for t in s.tables(0)],
                                       [(t.text(0), t.scalar(1, "I")) for t in s.tables(1)], s.scalar(4, "I"))
                           for s in model.tables(7)}

    def graph(self, g):
        tensors = [Tensor(t, self.buffers) for t in g.tables(0)]
        for t in tensors:
            if t.blocks:
                t.scales = tensors[t.blocks[0]].value
                assert tensors[t.blocks[0]].kind == 1 and t.shape[1] == t.blocks[1] * t.scales.shape[1]
        operators = [(self.codes[o.scalar(0, "I")], o.list(1, np.int32), o.list(2, np.int32), o.table(4))
                     for o in g.tables(3)]
        return tensors, operators, g.list(1, np.int32), g.list(2, np.int32)

    def weights(self, name="prefill"):
        return {t.name: t for t in self.graphs[name][0] if t.value is not None}

    def run(self, signature, **given):
        """-> outputs by their names in the signature."""
        tensors, operators, _, _ = self.graphs[signature]
        inputs, outputs, _ = self.signatures[signature]
        assert {name for name, _ in inputs} == given.keys()
        values = {i: t.value for i, t in enumerate(tensors) if t.value is not None}
        for name, i in inputs:
            assert given[name].shape == tensors[i].shape and given[name].dtype == TYPES[tensors[i].kind]
            values[i] = given[name]
        for code, sources, targets, options in operators:
            arguments = [real(tensors[i], values[i]) for i in sources if i >= 0]
            found = OPERATORS[code](options, *arguments)
            found = found if isinstance(found, tuple) else (found,)
            for i, value in zip(targets, found):
                assert value.shape == tensors[i].shape, (code, tensors[i].name, value.shape, tensors[i].shape)
                values[i] = rounded(tensors[i], value)
        return {name: values[i] for name, i in outputs}

    def empty(self):
        inputs, _, _ = self.signatures["decode"]
        tensors = self.graphs["decode"][0]
        return {name: np.zeros(tensors[i].shape, np.float32) for name, i in inputs if name.startswith("kv_cache")}

    def logits(self, ids, past=None, before=0):
        """Of token ids behind a cache, in steps of the prefill as long as there are several -> (tokens, vocab), cache."""
        past, rows = dict(past or self.empty()), []
        tensors, _, inputs, _ = self.graphs["prefill"]
        wide = tensors[dict(self.signatures["prefill"][0])["tokens"]].shape[1]
        for begin in range(0, len(ids), wide):
            piece = ids[begin:begin + wide]
            name = "decode" if len(piece) == 1 else "prefill"
            width = 1 if len(piece) == 1 else wide
            tokens = np.array([piece + [0] * (width - len(piece))], np.int32)
            out = self.run(name, tokens=tokens, input_pos=np.arange(before, before + width, dtype=np.int32), **past)
            rows.append(out.pop("logits")[0, :len(piece)])
            past, before = out, before + len(piece)
        return np.concatenate(rows), past


def real(tensor, value):
    """Integers of a tensor with a grid as the numbers that they mean; anything else as it is."""
    if tensor.scales is None:
        return value
    zero = np.array(tensor.zeros or [0]).reshape(-1, *[1] * (value.ndim - 1))
    scales = tensor.scales.astype(np.float32)
    if value.ndim == 1:
        scales = scales[:, 0]
    elif scales.shape[1] > 1:
        scales = np.repeat(scales, value.shape[1] // scales.shape[1], 1)
    elif len(scales) == 1:
        scales = scales[0, 0]
    return ((value.astype(np.int32) - zero) * scales).astype(np.float32)


def rounded(tensor, value):
    """Numbers as a tensor holds them: on its grid, if it has one."""
    if tensor.scales is None:
        return value.astype(TYPES[tensor.kind], copy=False)
    limits = np.iinfo(TYPES[tensor.kind])
    codes = np.rint(value / tensor.scales[0, 0]) + tensor.zeros[0]
    return np.clip(codes, limits.min, limits.max).astype(limits.dtype)


def fully_connected(options, x, w, bias=0):
    """Float inputs are not rounded here, as LiteRT rounds those that meet integers."""
    assert options.scalar(2, "?")
    return x @ w.T.astype(np.float32) + bias


def update(_, x, rows, start):
    out = x.copy()
    start = [min(max(s, 0), x.shape[i] - rows.shape[i]) for i, s in enumerate(start)]
    out[tuple(slice(s, s + n) for s, n in zip(start, rows.shape))] = rows
    return out


def top(_, x, k):
    at = np.argsort(-x, -1, kind="stable")[..., :int(k)]
    return np.take_along_axis(x, at, -1), at


OPERATORS = {
    0: lambda o, a, b: a + b,
    2: lambda o, *parts: np.concatenate(parts, o.scalar(0, "i")),
    6: lambda o, x: x,
    9: fully_connected,
    14: lambda o, x: 1 / (1 + np.exp(-x)),
    18: lambda o, a, b: a * b,
    19: lambda o, x: np.maximum(x, 0),
    22: lambda o, x, shape: x.reshape(shape),
    25: lambda o, x: op_Softmax(x * np.float32(o.scalar(0, "f")), -1),
    28: lambda o, x: np.tanh(x),
    36: lambda o, x, at: np.take(x, at, 0),
    39: lambda o, x, order: x.transpose(order),
    40: lambda o, x, axis: x.mean(tuple(axis), keepdims=o.scalar(0, "?")),
    41: lambda o, a, b: a - b,
    42: lambda o, a, b: a / b,
    48: top,
    53: lambda o, x: x,
    55: lambda o, a, b: np.maximum(a, b),
    57: lambda o, a, b: np.minimum(a, b),
    61: lambda o, a, b: a > b,
    63: lambda o, a, b: a <= b,
    65: lambda o, x, begin, size: x[tuple(slice(b, b + s) for b, s in zip(begin, size))],
    74: lambda o, x, axis: x.sum(tuple(axis), keepdims=o.scalar(0, "?")),
    75: lambda o, x: np.sqrt(x),
    76: lambda o, x: 1 / np.sqrt(x),
    86: lambda o, a, b: a & b,
    114: lambda o, x: x,
    123: lambda o, c, a, b: np.where(c, a, b),
    126: lambda o, a, b: a @ (b.swapaxes(-1, -2) if o.scalar(1, "?") else b),
    150: lambda o, x: op_Gelu(x, b"tanh" if o.scalar(0, "?") else b"none"),
    151: update,
}

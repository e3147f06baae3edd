"""An ONNX folder without ONNX's packages: a reader of the file, and its operators in numpy as onnx's Operators.md
(opset 21) and onnxruntime's ContribOperators.md define them."""
import math
import struct

import numpy as np

TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16}
UINT4, INT4, BFLOAT16 = 21, 22, 16


def fields(blob):
    """-> (number, value) of each field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = blob[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(blob):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            value = varint()
            value -= (value >> 63) << 64
        elif kind == 2:
            size = varint()
            value, at = blob[at:at + size], at + size
        else:
            assert kind == 5
            value, at = struct.unpack("<f", blob[at:at + 4])[0], at + 4
        yield tag >> 3, value


def all_of(blob, number):
    return [value for n, value in fields(blob) if n == number]


def array(kind, dims, raw):
    count = math.prod(dims)
    if kind in (UINT4, INT4):
        packed = np.frombuffer(raw, np.uint8)
        flat = np.stack([packed & 15, packed >> 4], 1).reshape(-1)[:count].astype(np.int8)
        flat = (flat ^ 8) - 8 if kind == INT4 else flat
    elif kind == BFLOAT16:
        flat = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(raw, TYPES[kind])
    assert len(flat) == count
    return flat.reshape(dims)


class OnnxFolder:
    """.weights: name: array. .kinds: name: ONNX's type number. .nodes: (op, inputs, outputs, attributes, domain)."""

    def __init__(self, folder):
        model = (folder / "model.onnx").read_bytes()
        data = (folder / "model.onnx.data").read_bytes()
        graph, = all_of(model, 7)
        self.ir_version = all_of(model, 1)[0]
        self.opsets = {(all_of(o, 1) or [b""])[0].decode(): all_of(o, 2)[0] for o in all_of(model, 8)}
        self.weights, self.kinds, self.offsets = {}, {}, {}
        for t in all_of(graph, 5):
            name, kind, dims = all_of(t, 8)[0].decode(), all_of(t, 2)[0], all_of(t, 1)
            raw = (all_of(t, 9) or [None])[0]
            if raw is None:
                entries = {all_of(e, 1)[0].decode(): all_of(e, 2)[0].decode() for e in all_of(t, 13)}
                assert all_of(t, 14) == [1] and entries["location"] == "model.onnx.data"
                begin = int(entries["offset"])
                raw = data[begin:begin + int(entries["length"])]
                self.offsets[name] = begin, len(raw)
            self.weights[name], self.kinds[name] = array(kind, dims, raw), kind
        self.nodes = [self.node(n) for n in all_of(graph, 1)]
        self.inputs = {all_of(v, 1)[0].decode(): v for v in all_of(graph, 11)}
        self.outputs = [all_of(v, 1)[0].decode() for v in all_of(graph, 12)]

    @staticmethod
    def node(blob):
        attributes = {}
        for a in all_of(blob, 5):
            kind = all_of(a, 20)[0]
            value = {1: 2, 2: 3, 3: 4, 7: 8}[kind]
            values = all_of(a, value)
            attributes[all_of(a, 1)[0].decode()] = values if kind == 7 else values[0]
        domain = (all_of(blob, 7) or [b""])[0].decode()
        return (all_of(blob, 4)[0].decode(), [v.decode() for v in all_of(blob, 1)],
                [v.decode() for v in all_of(blob, 2)], attributes, domain)

    def run(self, **inputs):
        """-> outputs by name; every value of the graph stands for itself."""
        values = self.weights | inputs
        for op, sources, targets, attributes, _ in self.nodes:
            found = globals()[f"op_{op}"](*[values[s] for s in sources], **attributes)
            found = found if isinstance(found, tuple) else (found,)
            assert len(found) == len(targets)
            values.update(zip(targets, found))
        return {name: values[name] for name in self.outputs}

    def logits(self, ids, past=None):
        """Of token ids behind a cache -> (tokens, vocab), the cache."""
        past = past or {}
        before = next(iter(past.values())).shape[2] if past else 0
        inputs = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, before + len(ids)), np.int64),
                  "position_ids": np.arange(before, before + len(ids))[None]}
        for name, value in self.inputs.items():
            if name.startswith("past") and not past:
                shape, = all_of(all_of(all_of(value, 2)[0], 1)[0], 2)
                heads, width = [all_of(d, 1)[0] for d in all_of(shape, 1) if all_of(d, 1)]
                inputs[name] = np.zeros((1, heads, 0, width), np.float32)
        out = self.run(**{k: v for k, v in (inputs | past).items() if k in self.inputs})
        logits = out.pop("logits")[0]
        return logits, {k.replace("present", "past_key_values"): v for k, v in out.items()}


def op_Identity(x): return x
def op_Add(a, b): return a + b
def op_Sub(a, b): return a - b
def op_Mul(a, b): return a * b
def op_Div(a, b): return a / b
def op_Pow(a, b): return np.power(a, b.astype(a.dtype))
def op_Max(a, b): return np.maximum(a, b)
def op_And(a, b): return a & b
def op_Greater(a, b): return a > b
def op_LessOrEqual(a, b): return a <= b
def op_Where(c, a, b): return np.where(c, a, b)
def op_Sqrt(x): return np.sqrt(x)
def op_Cos(x): return np.cos(x)
def op_Sin(x): return np.sin(x)
def op_Tanh(x): return np.tanh(x)
def op_Relu(x): return np.maximum(x, 0)
def op_Reciprocal(x): return 1 / x
def op_Sigmoid(x): return 1 / (1 + np.exp(-x))
def op_Clip(x, low, high): return np.clip(x, low, high)
def op_MatMul(a, b): return a @ b
def op_Range(begin, end, step): return np.arange(begin, end, step)
def op_CumSum(x, axis): return x.cumsum(axis)
def op_Transpose(x, perm): return x.transpose(perm)
def op_Unsqueeze(x, axes): return np.expand_dims(x, tuple(axes))
def op_Squeeze(x, axes): return np.squeeze(x, tuple(axes))
def op_Gather(x, at, axis=0): return np.take(x, at, axis)
def op_Concat(*parts, axis): return np.concatenate(parts, axis)
def op_NonZero(x): return np.stack(np.nonzero(x))
def op_Shape(x, start=0, end=None): return np.array(x.shape[start:end], np.int64)
def op_Split(x, sizes, axis): return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))
def op_ReduceMean(x, axes, keepdims): return x.mean(tuple(axes), keepdims=bool(keepdims))
def op_ReduceSum(x, axes): return x.sum(tuple(axes), keepdims=True)


def op_Reshape(x, dims):
    return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(dims)])


def op_Cast(x, to):
    if to != BFLOAT16:
        return x.astype(TYPES[to])
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)


def op_Softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def op_LayerNormalization(x, weight, bias=0, axis=-1, epsilon=1e-5):
    assert axis == -1
    far = x - x.mean(-1, keepdims=True)
    return far / np.sqrt((far ** 2).mean(-1, keepdims=True) + np.float32(epsilon)) * weight + bias


def op_Gelu(x, approximate):
    if approximate == b"tanh":
        return x * .5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + .044715 * x ** 3))).astype(np.float32)
    return x * .5 * (1 + np.vectorize(math.erf, otypes=[np.float32])(x / math.sqrt(2)))


def op_TopK(x, k, axis):
    at = np.argsort(-x, axis, kind="stable").take(range(k[0]), axis)
    return np.take_along_axis(x, at, axis), at


def op_ScatterElements(x, at, updates, axis):
    out = x.copy()
    np.put_along_axis(out, at, updates, axis)
    return out


def op_GatherND(x, at):
    return x[tuple(at.T)]


def op_ScatterND(x, at, updates, reduction):
    assert reduction == b"add"
    out = x.copy()
    np.add.at(out, tuple(at.T), updates)
    return out


def op_DequantizeLinear(x, scale, zero=0, axis=1, block_size=0):
    def spread(v):
        if not np.ndim(v):
            return v
        return np.repeat(v, block_size, axis)[:x.shape[axis]] if block_size else v
    assert block_size == 0 or axis == 0
    return ((x.astype(np.int32) - np.asarray(spread(zero), np.int32)) * spread(scale)).astype(np.float32)


def op_QuantizeLinear(x, scale, zero=np.int8(0)):
    limits = np.iinfo(zero.dtype)
    return np.clip(np.rint(x / scale) + int(zero), limits.min, limits.max).astype(zero.dtype)


def op_DynamicQuantizeLinear(x):
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32((high - low) / 255)
    zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    return op_QuantizeLinear(x, scale, zero), scale, zero


def op_MatMulInteger(a, b, a_zero, b_zero):
    return (a.astype(np.int32) - int(a_zero)) @ (b.astype(np.int32) - b_zero.astype(np.int32))


def block_values(codes, scales, zeros, bits):
    """MatMulNBits' weight (n, k) of B (n, blocks, bytes), scales (n, blocks) and packed zero points or None."""
    n, blocks, size = codes.shape

    def unpack(packed, count):
        flat = np.unpackbits(packed, axis=-1, bitorder="little")[..., :count * bits]
        return (flat.reshape(*packed.shape[:-1], count, bits) << np.arange(bits)).sum(-1).astype(np.int32)
    values = unpack(codes, size * 8 // bits)
    zero = 1 << (bits - 1) if zeros is None else unpack(zeros, blocks)[..., None]
    return ((values - zero) * scales[..., None]).reshape(n, -1)


def op_MatMulNBits(x, codes, scales, zeros=None, *, K, N, bits, block_size, accuracy_level):
    weight = block_values(codes, scales, zeros, bits)
    assert weight.shape == (N, K) and codes.shape[2] == block_size * bits // 8 and accuracy_level in (1, 4)
    return x @ weight.T.astype(np.float32)

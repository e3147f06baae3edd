"""A TorchScript archive without torch: its zip file and pickle read by Python's own modules, its source run as the
Python that it nearly is, on a `torch` of numpy arrays as PyTorch's documentation defines these functions."""
import collections
import io
import pickle
import types
import typing
import zipfile

import numpy as np
from onnx_files import op_Cast, op_Gelu, op_LayerNormalization, op_Softmax, op_TopK

STORAGES = {"ByteStorage": np.uint8, "LongStorage": np.int64, "FloatStorage": np.float32, "HalfStorage": np.float16,
            "BFloat16Storage": np.uint16}
TYPES = {0: np.uint8, 4: np.int64, 6: np.float32, 11: np.bool_}
BFLOAT16 = 15


def floats_of(x):
    """bfloat16, which numpy lacks, as float32."""
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


class Module:
    pass


class Reader(pickle.Unpickler):
    """Only what an archive of a module may name."""

    def __init__(self, archive, root):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.tensor
        if (module, name) == ("__torch__", "Decoder"):
            return Module
        assert module == "torch" and name in STORAGES or (module, name) == ("collections", "OrderedDict")
        return STORAGES.get(name, collections.OrderedDict)

    def persistent_load(self, pid):
        kind, dtype, key, device, count = pid
        assert kind == "storage" and device == "cpu"
        values = np.frombuffer(self.archive.read(f"{self.root}/data/{key}"), dtype)
        assert len(values) == count
        return values

    @staticmethod
    def tensor(storage, offset, size, stride, requires_grad, hooks):
        assert offset == 0 and not requires_grad and len(storage) == int(np.prod(size, dtype=np.int64))
        out = storage.reshape(size)
        assert stride == tuple(s // max(out.itemsize, 1) for s in out.strides) or 1 in size
        return out


def to(x, number):
    if number != BFLOAT16:
        return floats_of(x).astype(TYPES[number])
    return op_Cast(x, 16)


def select(x, axis, i):
    return np.take(x, i, axis)


def scatter(x, axis, at, values):
    out = x.copy()
    np.put_along_axis(out, at, values, axis)
    return out


def index_add(x, axis, at, values):
    out = x.copy()
    np.add.at(out, at, values)
    return out


def flatten(x, begin):
    begin %= x.ndim
    return x.reshape(*x.shape[:begin], int(np.prod(x.shape[begin:])))


def layer_norm(x, size, weight, bias, eps):
    assert list(x.shape[-1:]) == size
    return op_LayerNormalization(x, weight, 0 if bias is None else bias, epsilon=eps)


def tensor(value):
    return np.array(value, np.float32 if isinstance(value, float) else np.int64)


torch = types.SimpleNamespace(
    tensor=tensor, to=to, layer_norm=layer_norm, flatten=flatten, select=select, scatter=scatter, index_add=index_add,
    add=np.add, sub=np.subtract, mul=np.multiply, div=np.divide, pow=np.power, sqrt=np.sqrt, maximum=np.maximum,
    matmul=np.matmul, cos=np.cos, sin=np.sin, tanh=np.tanh, relu=lambda x: np.maximum(x, 0), clamp=np.clip,
    sigmoid=lambda x: 1 / (1 + np.exp(-x)), where=np.where, logical_and=np.logical_and, gt=np.greater, le=np.less_equal,
    permute=np.transpose, reshape=np.reshape, cat=np.concatenate, unsqueeze=np.expand_dims, squeeze=np.squeeze,
    split_with_sizes=lambda x, sizes, axis: np.split(x, np.cumsum(sizes)[:-1], axis), t=np.transpose,
    size=lambda x, axis=None: x.shape if axis is None else x.shape[axis], nonzero=lambda x: np.stack(np.nonzero(x), 1),
    embedding=lambda table, at: table[at], index_select=lambda x, axis, at: np.take(x, at, axis),
    topk=lambda x, k, axis: op_TopK(x, [k], axis), softmax=op_Softmax, mean=lambda x, axes, keep: x.mean(tuple(axes), keepdims=keep),
    sum=lambda x, axes, keep: x.sum(tuple(axes), keepdims=keep), cumsum=np.cumsum, arange=np.arange,
    gelu=lambda x, approximate: op_Gelu(x, approximate.encode()), bitwise_and=np.bitwise_and,
    bitwise_right_shift=np.right_shift, linear=lambda x, w: x @ w.T,
    slice=lambda x, axis, begin, end: np.take(x, range(begin, end), axis))


class Archive:
    """.weights: name: array. .logits(ids, past): as OnnxFolder's."""

    def __init__(self, path, layers, kv_heads, head_dim):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            root = archive.namelist()[0].split("/")[0]
            for info in archive.infolist():
                assert info.compress_type == zipfile.ZIP_STORED and info.filename.startswith(f"{root}/")
            self.module = Reader(archive, root).load()
            assert archive.read(f"{root}/version") == b"10\n" and archive.read(f"{root}/byteorder") == b"little"
            assert pickle.loads(archive.read(f"{root}/constants.pkl")) == ()
            source = archive.read(f"{root}/code/__torch__.py").decode()
        space = {"torch": torch, "Module": Module, "Tensor": np.ndarray, "List": typing.List, "Tuple": typing.Tuple,
                 "Optional": typing.Optional, "__torch__": types.SimpleNamespace(Decoder=None), "__name__": "torch_archive"}
        exec(source, space)
        kind = space["Decoder"]
        self.weights = {k: v for k, v in vars(self.module).items() if isinstance(v, np.ndarray)}
        assert list(self.weights) == kind.__buffers__ and kind.__parameters__ == []
        assert set(kind.__annotations__) == set(vars(self.module)) and self.module.training is False
        self.decoder = kind()
        vars(self.decoder).update(self.weights)
        self.takes_positions = "position_ids" in kind.forward.__annotations__
        self.empty = [np.zeros((1, kv_heads, 0, head_dim), np.float32)] * (2 * layers)

    def logits(self, ids, past=None):
        past = past or self.empty
        before = past[0].shape[2]
        inputs = [np.array([ids]), np.ones((1, before + len(ids)), np.int64)]
        if self.takes_positions:
            inputs.append(np.arange(before, before + len(ids))[None])
        logits, present = self.decoder.forward(*inputs, past)
        return logits[0], present

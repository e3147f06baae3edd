"""Model folders made to be wrong: a small safetensors reader and writer, and copies of the embedded
model with something changed."""
import json
import shutil
import struct

from nibble import TALES


def read_safetensors(path):
    """-> name: (dtype, shape, bytes)."""
    blob = path.read_bytes()
    end = 8 + struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:end])
    header.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], blob[end + t["data_offsets"][0]:end + t["data_offsets"][1]])
            for name, t in header.items()}


def layout(tensors):
    """-> the header that says the truth about the tensors, and their bytes."""
    header, data = {}, bytearray()
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return header, bytes(data)


def write_raw(path, header, data, length=None):
    """A safetensors file with this header (an object or its text), whatever it says of the data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def write_safetensors(path, tensors):
    write_raw(path, *layout(tensors))


class Folder:
    """A copy of the embedded model, open to changes."""

    def __init__(self, path):
        self.path = path
        shutil.copytree(TALES, path, ignore=shutil.ignore_patterns("*.txt", "README.md"))
        self.weights = path / "model.safetensors"

    def config(self, **changes):
        """Changes keys of config.json; None removes one."""
        file = self.path / "config.json"
        config = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    def tensors(self, change):
        """Rewrites the weights: change(tensors) edits the dict of (dtype, shape, bytes)."""
        tensors = read_safetensors(self.weights)
        change(tensors)
        write_safetensors(self.weights, tensors)

    def header(self, change):
        """Rewrites the header alone: change(header) edits it, the data stays as it was."""
        header, data = layout(read_safetensors(self.weights))
        header = change(header) or header
        write_raw(self.weights, header, data)

    def shards(self):
        """Splits the weights over two shards -> the index object, to be changed and written back."""
        tensors = read_safetensors(self.weights)
        self.weights.unlink()
        names = sorted(tensors)
        index = {"metadata": {}, "weight_map": {}}
        for i, part in enumerate((names[::2], names[1::2]), 1):
            file = f"model-{i:05}-of-00002.safetensors"
            write_safetensors(self.path / file, {name: tensors[name] for name in part})
            index["weight_map"] |= dict.fromkeys(part, file)
        self.index(index)
        return index

    def index(self, index):
        (self.path / "model.safetensors.index.json").write_text(json.dumps(index))

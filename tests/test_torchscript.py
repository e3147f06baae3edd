"""nibble export --to torchscript: the archive run without torch (torch_archive.py) against nibble's own logits, and its
integers against the artifact's. PyTorch loads it in tools/interop/torchscript.py."""
import json
import zipfile

import numpy as np
import pytest
from folders import read_safetensors
from nibble import TALES, needs_shared, refused, run_json
from onnx_files import block_values
from test_export import MODULES, artifact, export, made, tensors_of  # noqa: F401 (made is a fixture)
from test_onnx import FAMILIES, GOLDEN, cached, far, logits_of_nibble
from torch_archive import Archive


def opened(out, folder):
    seen = run_json("inspect", folder)
    return Archive(out / "model.pt", seen["layers"], seen["kv_heads"], seen["head_dim"])


@needs_shared
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, tmp_path):
    seen, out = export(GOLDEN / family, "torchscript", tmp_path)
    assert seen["flavour"] == "f32" and seen["round_trip"]["lossless"]
    golden = read_safetensors(GOLDEN / family / "golden.safetensors")
    ids = np.frombuffer(golden["input_ids"][2], np.int32).tolist()
    _, shape, raw = golden["logits"]
    wanted = np.frombuffer(raw, np.float32).reshape(shape)
    assert far(cached(opened(out, GOLDEN / family), ids, 40), wanted) < 1e-3


@pytest.mark.parametrize("scheme,width,group", [("w4g128-asym", 4, 128), ("w4", 4, None), ("w2g64-asym", 2, 64),
                                                ("w3g32", 4, 32), ("w8", 8, None)])
def test_integers(made, tmp_path, scheme, width, group):  # noqa: F811
    seen, out = export(made(scheme), "torchscript", tmp_path)
    assert seen["flavour"] == "integers" and seen["round_trip"]["lossless"]
    archive = opened(out, TALES)
    assert far(cached(archive), logits_of_nibble(made(scheme), tmp_path)) < 1e-3
    ours = tensors_of(made(scheme))
    for module in MODULES[:7]:
        codes, scales = artifact(ours, module, int(scheme[1]), group)
        values = codes * np.repeat(scales, codes.shape[1] // scales.shape[1], axis=1)
        stored = archive.weights[f"{module}.weight_codes"]
        assert stored.dtype == np.uint8
        zeros = archive.weights.get(f"{module}.weight_zero_point")
        assert (block_values(stored, archive.weights[f"{module}.weight_scale"], zeros, width) == values).all()


def test_a_changed_code_is_found(made, tmp_path):  # noqa: F811
    _, out = export(made("w4g128"), "torchscript", tmp_path)
    assert run_json("verify", out, "--against", made("w4g128"))["lossless"]
    with zipfile.ZipFile(out / "model.pt") as archive:
        info = archive.getinfo("model/data/20")
        at = info.header_offset
    blob = bytearray((out / "model.pt").read_bytes())
    begin = at + 30 + int.from_bytes(blob[at + 26:at + 28], "little") + int.from_bytes(blob[at + 28:at + 30], "little")
    assert begin % 64 == 0
    blob[begin] ^= 1
    (out / "model.pt").write_bytes(blob)
    seen = run_json("verify", out, "--against", made("w4g128"))
    assert not seen["lossless"]
    assert "loss" in json.loads((out / "nibble.json").read_text())


def test_refusals(made, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    refused("export", TALES, "--to", "torchscript:integers", "-o", out, words=["quantize it first"], leaves=tmp_path)
    _, done = export(made("w4g128"), "torchscript", tmp_path)
    blob = (done / "model.pt").read_bytes()
    (done / "model.pt").write_bytes(blob[:len(blob) // 2])
    refused("verify", done, "--against", made("w4g128"), words=["model.pt", "zip"])

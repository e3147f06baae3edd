"""nibble export --to tflite: the file's graphs run in numpy (tflite_files.py) against nibble's own logits, and its
integers against the artifact's. LiteRT loads them in tools/interop/tflite.py."""
import json
import shutil

import numpy as np
import pytest
from folders import read_safetensors, write_safetensors
from nibble import SHARED, TALES, needs_shared, refused, run, run_json
from test_export import MODULES, artifact, export, made, tensors_of  # noqa: F401 (made is a fixture)
from test_onnx import FAMILIES, GOLDEN, IDS, divergence, far, logits_of_nibble
from tflite_files import INT4, INT8, UINT8, TfliteFile


def cached(file, ids, first):
    """Logits of the ids, the later ones token by token behind a cache."""
    logits, past = file.logits(ids[:first])
    rows = [logits]
    for place in range(first, len(ids)):
        logits, past = file.logits(ids[place:place + 1], past, place)
        rows.append(logits)
    return np.concatenate(rows)


@needs_shared
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, tmp_path):
    seen, out = export(GOLDEN / family, "tflite", tmp_path, "--context", 64, "--prefill", 16)
    assert seen["flavour"] == "f32" and seen["round_trip"]["lossless"]
    golden = read_safetensors(GOLDEN / family / "golden.safetensors")
    ids = np.frombuffer(golden["input_ids"][2], np.int32).tolist()
    _, shape, raw = golden["logits"]
    wanted = np.frombuffer(raw, np.float32).reshape(shape)
    # The second step of the prefill is padded.
    assert far(cached(TfliteFile(out / "model.tflite"), ids, 28), wanted) < 1e-3


# scheme, flavour without a wish, bits, group, kind
KINDS = [("w8", "dynamic", 8, None, INT8), ("w4", "int4", 4, None, INT4), ("w3", "int4", 3, None, INT4),
         ("w4g128", "int4-block32", 4, 128, INT4), ("w4g32", "int4-block32", 4, 32, INT4)]


@pytest.mark.parametrize("scheme,flavour,width,group,kind", KINDS)
def test_holds_the_artifacts_integers(made, tmp_path, scheme, flavour, width, group, kind):  # noqa: F811
    seen, out = export(made(scheme), "tflite", tmp_path, "--prefill", 16, "--context", 32)
    assert seen["flavour"] == flavour and seen["round_trip"]["lossless"]
    file, ours = TfliteFile(out / "model.tflite"), tensors_of(made(scheme))
    for name in ("prefill", "decode"):
        for module in MODULES:
            stored = file.weights(name)[f"{module}.weight_codes"]
            codes, scales = artifact(ours, module, width, group)
            assert stored.kind == kind and (stored.value == codes).all()
            assert (stored.scales.astype(np.float32) == scales).all()
    both = [{t.name: t.buffer for t in file.weights(name).values()} for name in file.graphs]
    assert all(both[0][f"{m}.weight_codes"] == both[1][f"{m}.weight_codes"] for m in MODULES)
    assert far(cached(file, IDS, 9), logits_of_nibble(made(scheme), tmp_path)) < 1e-3


@pytest.mark.parametrize("scheme,flavour", [("w4g128-asym", "dynamic"), ("w4g128-asym", "int4-block32"), ("w4g32", "int4")])
def test_rounds_what_it_cannot_hold(made, tmp_path, scheme, flavour):  # noqa: F811
    seen, out = export(made(scheme), f"tflite:{flavour}", tmp_path, "--prefill", 16, "--context", 32)
    assert not seen["round_trip"]["lossless"] and any("28 linears" in note for note in seen["notes"])
    weights, ours = TfliteFile(out / "model.tflite").weights(), tensors_of(made(scheme))
    group = 128 if "g128" in scheme else 32
    for module in MODULES[:7]:
        codes, scales = artifact(ours, module, 4, group)
        wanted = codes * np.repeat(scales, codes.shape[1] // scales.shape[1], 1)
        w = weights[f"{module}.weight_codes"]
        scale = np.repeat(w.scales.astype(np.float32), codes.shape[1] // w.scales.shape[1], 1)
        # Half a step, and what float16 moves of the scale at the ends of the range.
        assert (np.abs(w.value * scale - wanted) <= .51 * scale).all()


def test_quantized_embedding_and_head(tmp_path):
    folder = tmp_path / "artifact"
    run("quantize", TALES, "-o", folder, "--scheme", "w4g64", "--method", "rtn", "--embedding", "w8", "--head", "w8")
    seen, out = export(folder, "tflite", tmp_path, "--prefill", 16, "--context", 32)
    assert seen["flavour"] == "int4-block32" and seen["round_trip"]["lossless"]
    assert far(TfliteFile(out / "model.tflite").logits(IDS)[0], logits_of_nibble(folder, tmp_path)) < 1e-3


def test_verify_finds_a_changed_code(made, tmp_path):  # noqa: F811
    _, out = export(made("w4"), "tflite", tmp_path)
    assert run_json("verify", out, "--against", made("w4"))["lossless"]
    path = out / "model.tflite"
    file, blob = TfliteFile(path), bytearray(path.read_bytes())
    blob[file.buffers[file.weights()[f"{MODULES[3]}.weight_codes"].buffer][0]] ^= 1
    path.write_bytes(blob)
    assert not run_json("verify", out, "--against", made("w4"))["lossless"]
    assert json.loads((out / "nibble.json").read_text())["flavour"] == "int4"


def test_refusals(made, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    refused("export", TALES, "--to", "tflite:int4", "-o", out, words=["quantize it first", "dynamic"], leaves=tmp_path)
    refused("export", TALES, "--to", "tflite", "-o", out, "--context", 100000, words=["context", "100000"], leaves=tmp_path)
    refused("export", TALES, "--to", "tflite", "-o", out, "--context", 64, "--prefill", 65, words=["prefill"],
            leaves=tmp_path)
    refused("export", made("w4-full"), "--to", "tflite", "-o", out, words=["not above 0", "symmetric"], leaves=tmp_path)
    assert "no fixed shapes" in run("export", made("w4"), "--to", "gptq", "-o", out, "--context", 64, code=2).stderr


def test_verify_refuses_broken_files(made, tmp_path):  # noqa: F811
    _, out = export(made("w4"), "tflite", tmp_path)
    path = out / "model.tflite"
    good = path.read_bytes()
    for blob, words in ((good[:len(good) // 2], ["outside"]), (b"\0\0\0\0TFL2" + good[8:], ["TFL3"]),
                        (good[:8], ["outside"])):
        path.write_bytes(blob)
        refused("verify", out, "--against", made("w4"), words=["model.tflite", *words])


@pytest.fixture(scope="module")
def integers(tmp_path_factory, made):  # noqa: F811
    """flavour -> the export of w8 between integers of fixed ranges."""
    root = tmp_path_factory.mktemp("integers")

    def make(flavour):
        out = root / flavour
        if not out.exists():
            run("export", made("w8"), "--to", f"tflite:{flavour}", "-o", out, "--prefill", 16, "--context", 32,
                "--calibration", TALES / "calibration.txt", "--windows", 4)
        return out
    return make


@pytest.mark.parametrize("flavour,kind", [("int8", INT8), ("uint8", UINT8)])
def test_fixed_ranges(made, integers, tmp_path, flavour, kind):  # noqa: F811
    out = integers(flavour)
    record = json.loads((out / "nibble.json").read_text())
    assert any("ranges that calibration saw" in note for note in record["notes"])
    assert record["ranges"]["tokens"] == 4 * 512 and record["ranges"]["hash"].startswith("xxh3-")
    assert record["round_trip"]["lossless"] == (flavour == "int8")
    file = TfliteFile(out / "model.tflite")
    tensors, operators, _, _ = file.graphs["decode"]
    full = [(sources, targets) for code, sources, targets, _ in operators if code == 9]
    assert len(full) == 29
    for (x, w, bias), (y,) in full[:28]:
        assert [tensors[i].kind for i in (x, w, y)] == [kind] * 3 and bias == -1
        for i in (x, y):
            assert tensors[i].scales.size == 1 and tensors[i].scales[0, 0] > 0
            assert -128 <= tensors[i].zeros[0] + (0 if kind == INT8 else -128) < 128
        assert tensors[w].scales.size == (1 if kind == UINT8 else tensors[w].shape[0])
        assert set(tensors[w].zeros) == {128 if kind == UINT8 else 0}
    # Queries, keys and values share their inputs' integers, gate and up theirs.
    assert [code for code, *_ in operators].count(114) == 16
    wanted = logits_of_nibble(TALES, tmp_path)
    # What 8 bits for all that enters and leaves cost: little beside what the model says.
    assert 0 < divergence(wanted, file.logits(IDS)[0]) < (.1 if flavour == "int8" else .3)


def test_fixed_ranges_refuse(made, tmp_path):  # noqa: F811
    refused("export", made("w8"), "--to", "tflite:int8", "-o", tmp_path / "out", words=["--calibration"], leaves=tmp_path)


def test_quantize_hands_its_calibration_on(tmp_path):
    run("quantize", TALES, "-o", tmp_path / "a", "--scheme", "w8", "--method", "rtn-imatrix", "--windows", 4,
        "--calibration", TALES / "calibration.txt", "--export", "tflite:int8")
    assert json.loads((tmp_path / "a-tflite-int8/nibble.json").read_text())["flavour"] == "int8"


def test_lint_of_edge_tpu(integers, made, tmp_path):  # noqa: F811
    def problems(folder):
        return json.loads(run("lint", folder, "--target", "edgetpu", "--json", code=1).stdout)["problems"]
    found = problems(integers("uint8"))
    assert any(line.startswith("decode: ") and "BATCH_MATMUL not mapped: the Edge TPU has no such" in line for line in found)
    assert any("prefill: 28 FULLY_CONNECTED not mapped: what it gives has 2 dimensions" in line for line in found)
    # Those of a single token are what it maps; the head stays float.
    decode = [line for line in found if line.startswith("decode: ") and "FULLY_CONNECTED" in line]
    assert len(decode) == 1 and "1 FULLY_CONNECTED not mapped: it works on float32" in decode[0]
    assert any("operators could be mapped each by itself" in line for line in found)
    _, out = export(made("w4"), "tflite", tmp_path)
    assert any("28 FULLY_CONNECTED not mapped: it works on float32" in line or "29 FULLY_CONNECTED" in line
               for line in problems(out))
    refused("lint", TALES, "--target", "edgetpu", words=["model.tflite"])


# A family whose linears have biases.
BLOOM = SHARED / "models/tales-bloom-2m"
QKV = "transformer.h.0.self_attention.query_key_value"
FIXED = ["--prefill", 16, "--context", 32, "--calibration", TALES / "calibration.txt", "--windows", 8]


def altered(path, change):
    """A copy of it; change(tensors) edits the dict of (dtype, shape, bytes)."""
    shutil.copytree(BLOOM, path)
    tensors = read_safetensors(path / "model.safetensors")
    change(tensors)
    write_safetensors(path / "model.safetensors", tensors)
    return path


def stored_bias(out):
    """-> codes, the step of each in float64."""
    bias = TfliteFile(out / "model.tflite").weights()[f"{QKV}.bias"]
    return bias.value, np.broadcast_to(bias.scales[:, 0], bias.value.shape).astype(np.float64)


def floats_of(tensor):
    _, shape, raw = tensor
    return (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)


def with_small_row(path, factor):
    """-> the model whose largest bias of the first projection stands beside a row of weights times the factor, its biases."""
    biases = floats_of(read_safetensors(BLOOM / "model.safetensors")[f"{QKV}.bias"])

    def shrink(tensors):
        weights = floats_of(tensors[f"{QKV}.weight"]).copy()
        weights[np.abs(biases).argmax()] *= np.float32(factor)
        tensors[f"{QKV}.weight"] = "F32", list(weights.shape), weights.tobytes()
    return altered(path, shrink), biases


@needs_shared
@pytest.mark.parametrize("factor,scheme,flavour", [
    (0, None, "int8"), (0, None, "uint8"), (1e-30, None, "int8"), (0, "w8", "int8"), (0, "w8", "uint8")])
def test_keeps_biases_beside_rows_of_zeros(tmp_path, factor, scheme, flavour):
    model, wanted = with_small_row(tmp_path / "model", factor)
    if scheme:
        source, model = model, tmp_path / "artifact"
        run("quantize", source, "-o", model, "--scheme", scheme, "--scale-type", "f32", "--method", "rtn")
    seen, out = export(model, f"tflite:{flavour}", tmp_path, *FIXED)
    codes, steps = stored_bias(out)
    assert np.abs(codes.astype(np.int64)).max() <= 1 << 30
    # Half a step, and what float32 rounds of it.
    assert (np.abs(codes * steps - wanted) <= .51 * steps + 1e-6 * np.abs(wanted)).all()
    assert (seen["round_trip"]["exact_matrices"] == seen["round_trip"]["matrices"]) == (scheme == "w8" and flavour == "int8")


@needs_shared
def test_refuses_biases_beyond_their_steps(tmp_path):
    model, _ = with_small_row(tmp_path / "model", 1e-30)
    run("quantize", model, "-o", tmp_path / "artifact", "--scheme", "w8", "--scale-type", "f32", "--method", "rtn")
    refused("export", tmp_path / "artifact", "--to", "tflite:int8", "-o", tmp_path / "out", *FIXED,
            words=[f"{QKV}.bias", "2^30 steps", "tflite:dynamic"], leaves=tmp_path)


@needs_shared
def test_reads_integer_biases_as_what_they_mean(tmp_path):
    seen, out = export(BLOOM, "tflite:int8", tmp_path, *FIXED)
    codes, steps = stored_bias(out)
    whole = (codes * steps).astype(np.float32)
    model = altered(tmp_path / "model", lambda tensors: tensors.update({f"{QKV}.bias": ("F32", [len(whole)], whole.tobytes())}))
    again, _ = export(model, "tflite:int8", tmp_path, *FIXED, "--force")
    assert again["round_trip"]["exact_vectors"] == seen["round_trip"]["exact_vectors"] + 1


def test_context_is_whole_steps_of_the_prefill(tmp_path):
    common = ["export", TALES, "--to", "tflite", "-o", tmp_path / "out", "--context", 200]
    done = run(*common, "--prefill", 128, code=2)
    assert "--context 200, --prefill 128: the context should be whole steps" in done.stderr
    for prefill, wanted in (([], 100), (["--prefill", 50], 50)):
        notes = run_json(*common, *prefill, "--dry-run")["notes"]
        assert any(f"prefill takes {wanted}," in note for note in notes)
    assert not list(tmp_path.iterdir())

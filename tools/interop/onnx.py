"""ONNX folders in onnxruntime (logits with and without the cache, a padded batch, greedy ids), OpenVINO and
ONNX Runtime GenAI. Golden families are compared with what transformers computed (golden.safetensors)."""
import contextlib
import io
import json
import os
import pathlib
import tempfile

import numpy as np
import onnxruntime
import openvino
from safetensors.numpy import load_file

from interop.common import GOLDEN, TALES, Row, nibble, windows

EXACT = 1e-3  # float32: the order of sums, and exp, sin and cos
BLOOM = GOLDEN.parent / "tales-bloom-2m"
CALIBRATED = "w8 --input-ranges minmax"
# scheme, target; all keep the integers.
FLOATS = [("", "onnx"), ("w4g128-asym", "onnx"), ("w4g128", "onnx:nbits"), ("w4", "onnx:nbits"), ("w3g64", "onnx:nbits"),
          ("w2g64-asym", "onnx:nbits"), ("w8g32", "onnx:nbits"), ("w4g128-full", "onnx:nbits"), ("w4g128-asym", "onnx:dq"),
          ("w4g128", "onnx:dq"), ("w4", "onnx:dq"), ("w8-asym", "onnx:dq"), ("w4g64 --embedding w8 --head w4g64", "onnx:nbits"),
          ("w4g64 --embedding w4g32-asym", "onnx:dq"), ("w4g64-asym", "onnx:f32")]
PROMPT = "Once upon a time"


def session(folder, optimized=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def inputs(model, ids, past=None, mask=None):
    """ids: (batch, tokens) behind the cache `past`; mask: (batch, all tokens)."""
    before = next(iter(past.values())).shape[2] if past else 0
    if mask is None:
        mask = np.ones((len(ids), before + ids.shape[1]), np.int64)
    places = np.maximum(mask.cumsum(1) - 1, 0)[:, before:]
    out = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
    for i in model.get_inputs():
        if i.name.startswith("past"):
            out[i.name] = past[i.name] if past else np.zeros((len(ids), i.shape[1], 0, i.shape[3]), np.float32)
    return {i.name: out[i.name] for i in model.get_inputs()}


def step(model, ids, past=None, mask=None):
    """-> logits, cache. model: a session, or what has a step of its own."""
    if hasattr(model, "step"):
        return model.step(ids, past, mask)
    names = [o.name for o in model.get_outputs()]
    out = dict(zip(names, model.run(None, inputs(model, ids, past, mask))))
    return out["logits"], {k.replace("present", "past_key_values"): v for k, v in out.items() if k != "logits"}


def greedy(model, ids, count, short):
    """The cache is computed anew where a sequence grows past `short` tokens (longrope), as transformers does."""
    logits, past = step(model, np.array([ids], np.int64))
    out = []
    for _ in range(count):
        out.append(int(logits[0, -1].argmax()))
        fresh = ids + out if len(ids + out) == short + 1 else out[-1:]
        logits, past = step(model, np.array([fresh], np.int64), past if len(fresh) == 1 else None)
    return out


def largest(model, ids, wanted):
    """The largest difference of any logit: at once, token by token behind a cache, and behind padding."""
    ids, padding = np.array([ids], np.int64), 5
    half = ids.shape[1] // 2
    seen = [step(model, ids)[0][0] - wanted]
    logits, past = step(model, ids[:, :half])
    for t in range(half, ids.shape[1]):
        logits, past = step(model, ids[:, t:t + 1], past)
        seen.append(logits[0, 0] - wanted[t])
    batch = np.stack([np.pad(ids[0, :half], (padding, 0)), ids[0, :half + padding]])
    mask = np.ones_like(batch)
    mask[0, :padding] = 0
    logits, _ = step(model, batch, mask=mask)
    seen += [logits[0, padding:] - wanted[:half], logits[1] - wanted[:half + padding]]
    return max(np.abs(s).max() for s in seen) / wanted.std()


def logits_of_nibble(source, ids, work, activations="float"):
    file = work / "logits.safetensors"
    nibble("logits", source, "--ids", ",".join(map(str, ids)), "-o", file, "--activations", activations)
    return load_file(file)["logits"]


def text_ids():
    return windows(1)[0]


def export(model, scheme, target, work, *options):
    """-> what was exported, the exported folder."""
    source, out = model, work / "export"
    if scheme:
        source = work / "artifact"
        name, *more = scheme.split()
        if "--input-ranges" in more:
            more += ["--calibration", TALES / "calibration.txt"]
        nibble("quantize", model, "-o", source, "--scheme", name, "--method", "rtn", *more)
    nibble("export", source, "--to", target, "-o", out, *options)
    return source, out


def row(name, allowed, body):
    """body(work folder) -> what the consumer did, difference."""
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stderr(io.StringIO()):
        try:
            result, far = body(pathlib.Path(work))
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)
    return Row(name, result, far <= allowed, far, allowed)


def floats(model, scheme, target):
    def body(work):
        source, out = export(model, scheme, target, work)
        ids = text_ids() if model == TALES else [(7 * i + 3 * i * i) % 96 for i in range(48)]
        return "onnxruntime", largest(session(out), ids, logits_of_nibble(source, ids, work))
    return row(f"{target} {scheme} {model.name}".replace("  ", " "), EXACT, body)


def family(folder, scheme, target):
    """Floats against transformers' logits and greedy ids; integers against nibble's reading of them."""
    def body(work):
        source, out = export(folder, scheme, target, work)
        golden, model = load_file(folder / "golden.safetensors"), session(out)
        ids, wanted = golden["input_ids"].tolist(), golden["logits"]
        short = json.loads((folder / "config.json").read_text()).get("original_max_position_embeddings", -1)
        if scheme:
            wanted = logits_of_nibble(source, ids, work)
        elif greedy(model, golden["greedy_prompt"].tolist(), 24, short) != golden["greedy_ids"].tolist():
            return "other greedy ids", float("inf")
        return "onnxruntime" if scheme else "onnxruntime, greedy ids", largest(model, ids, wanted)
    return row(f"{target} {scheme} {folder.name}".replace("  ", " "), EXACT, body)


def kl(wanted, seen):
    def log_softmax(x):
        x = x.astype(np.float64) - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))
    p, q = log_softmax(wanted), log_softmax(seen)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def int8(scheme, target, activations):
    """The KL to the float model, over that of nibble's own integer arithmetic on the same artifact.

    TensorRT's weights are signed, whose products saturate in onnxruntime's fused kernels on CPUs without
    VNNI: its graph runs as its operators say."""
    def body(work):
        source, out = export(TALES, scheme, target, work)
        ids = text_ids()
        wanted = logits_of_nibble(TALES, ids, work)
        ours = kl(wanted, logits_of_nibble(source, ids, work, activations))
        theirs = kl(wanted, step(session(out, optimized=target != "tensorrt"), np.array([ids], np.int64))[0][0])
        return f"KL {theirs:.5f}, {activations} {ours:.5f}", theirs / ours
    return row(f"{target} {scheme}: KL ratio", 1.05, body)


def saturation(scheme, target):
    """onnxruntime's integer kernels against its own floats of the same graph."""
    def body(work):
        _, out = export(TALES, scheme, target, work)
        ids = np.array([text_ids()], np.int64)
        plain = step(session(out, optimized=False), ids)[0]
        wanted, seen = kl(plain[0], step(session(out), ids)[0][0]), "the same with fused kernels"
        return seen, wanted
    return row(f"{target} {scheme}: KL", EXACT, body)


def in_openvino(model, scheme, target):
    def body(work):
        source, out = export(model, scheme, target, work)
        ids = [(7 * i + 3 * i * i) % 96 for i in range(48)]
        compiled = openvino.Core().compile_model(
            str(out / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})
        seen = compiled(inputs(session(out), np.array([ids], np.int64)))["logits"][0]
        wanted = logits_of_nibble(source, ids, work)
        return "OpenVINO", np.abs(seen - wanted).max() / wanted.std()
    return row(f"{target} {scheme} {model.name}".replace("  ", " "), EXACT, body)


def nibble_ids(source):
    return json.loads(nibble("tokenize", source, "-p", PROMPT, "--json"))["ids"]


def in_genai(model, scheme):
    def body(work):
        import onnxruntime_genai
        source, out = export(model, scheme, "ort-genai", work)
        ours = nibble("run", source, "-p", PROMPT, "-n", 32, "--temperature", 0, "--activations", "float").strip()
        ids = nibble_ids(source)
        loaded = onnxruntime_genai.Model(str(out))
        tokens, search = onnxruntime_genai.Tokenizer(loaded), onnxruntime_genai.GeneratorParams(loaded)
        search.set_search_options(max_length=len(ids) + 32, do_sample=False)
        generator = onnxruntime_genai.Generator(loaded, search)
        generator.append_tokens(np.array(ids, np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        theirs = tokens.decode(generator.get_sequence(0)).strip()
        return "GenAI, the same text", 0. if theirs == ours else float("inf")
    return row(f"ort-genai {scheme} {model.name}".replace("  ", " "), 0., body)


def check():
    for scheme, target in FLOATS:
        yield floats(TALES, scheme, target)
    yield int8(CALIBRATED, "onnx:int8-qdq", "int8-static")
    yield int8(CALIBRATED, "tensorrt", "int8-static")
    yield floats(TALES, "w4g128", "tensorrt")
    for scheme, target in ((CALIBRATED, "onnx:int8-qdq"), ("w8", "onnx:int8-dynamic")):
        yield saturation(scheme, target)
    families = sorted(p for p in GOLDEN.glob("*") if p.is_dir())
    for folder in families:
        yield family(folder, "", "onnx")
        yield family(folder, "w4g16-asym", "onnx:nbits")
        yield family(folder, "w4g16-asym", "onnx:dq")
    for scheme, target in (("w4g128-asym", "onnx:nbits"), ("w4g128-asym", "openvino"), ("w4g128", "openvino"),
                           ("w8", "openvino"), ("w3g32", "openvino"), ("", "openvino")):
        yield in_openvino(TALES, scheme, target)
    for folder in families:
        yield in_openvino(folder, "", "openvino")
        yield in_openvino(folder, "w4g16-asym", "openvino")
    if os.environ.get("NIBBLE_INTEROP_LIGHT"):
        return
    models = [TALES, BLOOM] if BLOOM.is_dir() else [TALES]
    for model in models:
        yield in_genai(model, "w4g64-asym")

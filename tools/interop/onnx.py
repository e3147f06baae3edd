"""ONNX folders in onnxruntime (logits with and without the cache, a padded batch, greedy ids), OpenVINO and
ONNX Runtime GenAI. Golden families are compared with what transformers computed (golden.safetensors)."""
import json
import os

import numpy as np
import onnxruntime
import openvino
from safetensors.numpy import load_file

from interop.arrays import EXACT, difference, export, kl, logits_of_nibble, loss_ratio, name_of, place, row
from interop.common import BLOOM, GOLDEN, TALES, Seen, fitting, models, nibble, refusal, texts_of, windows

CALIBRATED = "w8 --input-ranges minmax"
# scheme, target; all keep the integers.
FLOATS = [("", "onnx"), ("w4g128-asym", "onnx"), ("w4g128", "onnx:nbits"), ("w4", "onnx:nbits"), ("w3g64", "onnx:nbits"),
          ("w2g64-asym", "onnx:nbits"), ("w8g32", "onnx:nbits"), ("w4g128-full", "onnx:nbits"), ("w4g128-asym", "onnx:dq"),
          ("w4g128", "onnx:dq"), ("w4", "onnx:dq"), ("w8-asym", "onnx:dq"), ("w4g64 --embedding w8 --head w4g64", "onnx:nbits"),
          ("w4g64 --embedding w4g32-asym", "onnx:dq"), ("w4g64-asym", "onnx:f32")]
# scheme, target, nibble's arithmetic that is the same.
INTEGERS = [(CALIBRATED, "onnx:int8-qdq", "int8-static"), (CALIBRATED, "tensorrt", "int8-static"),
            ("w8", "onnx:int8-dynamic", "int8-token"), ("w4g128", "onnx:nbits-int8", "int8")]
OPENVINO = [("w4g128-asym", "onnx:nbits"), ("w4g128-asym", "openvino"), ("w4g128", "openvino"), ("w8", "openvino"),
            ("w3g32", "openvino"), ("", "openvino"), ("w4g128", "openvino:nbits"), ("w4g128", "openvino:f32")]
GENAI = [("w4g64-asym", "ort-genai"), ("w4g128", "ort-genai:dq"), ("", "ort-genai"), ("w4g64-asym", "ort-genai:f32")]
GENAI_INTEGERS = [("w4g128", "ort-genai:nbits-int8"), ("w8", "ort-genai:int8-dynamic"), (CALIBRATED, "ort-genai:int8-qdq")]
PROMPT = "Once upon a time"
WINDOWS = 16  # of a ratio of KL


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
    """The largest difference of any logit, at once, token by token behind a cache, and behind padding; what the table says."""
    ids, padding = np.array([ids], np.int64), 5
    half = ids.shape[1] // 2
    whole = step(model, ids)[0][0]
    seen = [whole - wanted]
    logits, past = step(model, ids[:, :half])
    for t in range(half, ids.shape[1]):
        logits, past = step(model, ids[:, t:t + 1], past)
        seen.append(logits[0, 0] - wanted[t])
    batch = np.stack([np.pad(ids[0, :half], (padding, 0)), ids[0, :half + padding]])
    mask = np.ones_like(batch)
    mask[0, :padding] = 0
    logits, _ = step(model, batch, mask=mask)
    seen += [logits[0, padding:] - wanted[:half], logits[1] - wanted[:half + padding]]
    far = float(max(np.abs(s).max() for s in seen) / wanted.std())
    return far, Seen(far, kl(wanted, whole))


def floats(model, scheme, target):
    def body(work):
        source, out = export(model, scheme, target, work)
        [ids] = texts_of(model, 1)
        return "onnxruntime", *largest(session(out), ids, logits_of_nibble(source, ids, work))
    return row(name_of(target, scheme, model), EXACT, body, refusal(target, model),
               place(target, scheme, model, "onnxruntime"))


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
        return "onnxruntime" if scheme else "onnxruntime, greedy ids", *largest(model, ids, wanted)
    return row(name_of(target, scheme, folder), EXACT, body)


def kl_ratio(model, source, activations, work, logits):
    """logits(ids): the consumer's. -> their KL to the float model beside that of nibble's own integer arithmetic on
    the same artifact, their ratio. Rounding to bytes is chaotic: of one window alone it is off by 6 %."""
    return loss_ratio(model, texts_of(model, WINDOWS), work, activations,
                      lambda ids: logits_of_nibble(source, ids, work, activations), logits)


def int8(model, scheme, target, activations):
    """TensorRT's weights are signed, whose products saturate in onnxruntime's fused kernels on CPUs without
    VNNI: its graph runs as its operators say. Of dynamic ranges onnxruntime has one for all tokens of a call, nibble one
    for each token, so each has a call of its own."""
    def body(work):
        source, out = export(model, scheme, target, work)
        loaded = session(out, optimized=target != "tensorrt")

        def logits(ids):
            width = 1 if activations == "int8-token" else len(ids)
            seen, past = [], None
            for begin in range(0, len(ids), width):
                one, past = step(loaded, np.array([ids[begin:begin + width]], np.int64), past)
                seen.append(one[0])
            return np.concatenate(seen)
        return kl_ratio(model, source, activations, work, logits)
    return row(name_of(target, scheme, model) + ": KL ratio", 1.05, body, refusal(target, model),
               place(target, scheme, model, "onnxruntime"))


def saturation(scheme, target):
    """onnxruntime's integer kernels against its own floats of the same graph."""
    def body(work):
        _, out = export(TALES, scheme, target, work)
        ids = np.array(windows(1), np.int64)
        plain = step(session(out, optimized=False), ids)[0]
        wanted, seen = kl(plain[0], step(session(out), ids)[0][0]), "the same with fused kernels"
        return seen, wanted
    return row(f"{target} {scheme}: KL", EXACT, body)


def load_openvino(folder):
    """-> ids: logits."""
    compiled = openvino.Core().compile_model(
        str(folder / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})
    described = session(folder)
    return lambda ids: compiled(inputs(described, np.array([ids], np.int64)))["logits"][0]


def int8_in_openvino(model):
    def body(work):
        source, out = export(model, CALIBRATED, "openvino:int8-qdq", work)
        result, *rest = kl_ratio(model, source, "int8-static", work, load_openvino(out))
        return f"OpenVINO: {result}", *rest
    return row(name_of("openvino:int8-qdq", CALIBRATED, model) + ": KL ratio", 1.05, body,
               place=place("openvino:int8-qdq", CALIBRATED, model, "OpenVINO"))


def in_openvino(model, scheme, target):
    def body(work):
        source, out = export(model, scheme, target, work)
        [ids] = texts_of(model, 1)
        seen, wanted = load_openvino(out)(ids), logits_of_nibble(source, ids, work)
        far = difference(seen, wanted)
        return "OpenVINO", far, Seen(far, kl(wanted, seen))
    return row(name_of(target, scheme, model), EXACT, body, place=place(target, scheme, model, "OpenVINO"))


def in_genai(model, scheme, target, rounds=False):
    """The ids of greedy generation; of the trained models, whose tokens make a text, that too. Where inputs are rounded: the
    ids of onnxruntime on the same graph, in the same calls."""
    def body(work):
        import onnxruntime_genai
        source, out = export(model, scheme, target, work)
        ids = json.loads(nibble("tokenize", source, "-p", PROMPT, "--json"))["ids"]
        loaded = onnxruntime_genai.Model(str(out))
        tokens, search = onnxruntime_genai.Tokenizer(loaded), onnxruntime_genai.GeneratorParams(loaded)
        search.set_search_options(max_length=len(ids) + 32, do_sample=False)
        generator = onnxruntime_genai.Generator(loaded, search)
        generator.append_tokens(np.array(ids, np.int32))
        while not generator.is_done():
            generator.generate_next_token()
        seen = generator.get_sequence(0).tolist()
        fresh = seen[len(ids):]
        if rounds:
            same = bool(fresh) and fresh == greedy(session(out), ids, len(fresh), -1)
            return "GenAI, the ids of onnxruntime", 0. if same else float("inf"), Seen(words="the same ids")
        same = bool(fresh) and fresh == logits_of_nibble(source, seen, work)[len(ids) - 1:-1].argmax(1).tolist()
        if same and model in (TALES, BLOOM):
            ours = nibble("run", source, "-p", PROMPT, "-n", 32, "--temperature", 0, "--activations", "float").strip()
            same = tokens.decode(seen).strip() == ours
        return "GenAI, the same ids", 0. if same else float("inf"), Seen(words="the same ids")
    return row(name_of(target, scheme, model), 0., body, refusal(target, model), place(target, scheme, model, "GenAI"))


def check():
    for model in models():
        for scheme, target in FLOATS:
            yield floats(model, fitting(scheme, model), target)
        for scheme, target, activations in INTEGERS:
            yield int8(model, fitting(scheme, model), target, activations)
        yield floats(model, fitting("w4g128", model), "tensorrt")
    for scheme, target in ((CALIBRATED, "onnx:int8-qdq"), ("w8", "onnx:int8-dynamic")):
        yield saturation(scheme, target)
    families = sorted(p for p in GOLDEN.glob("*") if p.is_dir())
    for folder in families:
        yield family(folder, "", "onnx")
        yield family(folder, "w4g16-asym", "onnx:nbits")
        yield family(folder, "w4g16-asym", "onnx:dq")
    for model in models():
        for scheme, target in OPENVINO:
            yield in_openvino(model, fitting(scheme, model), target)
        yield int8_in_openvino(model)
    for folder in families:
        yield in_openvino(folder, "", "openvino")
        yield in_openvino(folder, "w4g16-asym", "openvino")
    if os.environ.get("NIBBLE_INTEROP_LIGHT"):
        return
    for model in models():
        for scheme, target in GENAI:
            yield in_genai(model, fitting(scheme, model), target)
        for scheme, target in GENAI_INTEGERS:
            yield in_genai(model, fitting(scheme, model), target, rounds=True)

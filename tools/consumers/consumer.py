"""consumer.py: an exported folder in the program that it is made for; `nibble export --with-consumer` runs it.

Standard input: {"folder", "format", "windows": [[token ids], ...], "cache": [layers, key heads, width of a head]}. Standard
output: a line of JSON, {"name":
"onnxruntime 1.32.0", "vocab": 4096}, {"missing": "onnxruntime"} or {"failed": "why"}, and behind the first the logits of
every window, float32 (tokens, vocab).

To add a format: a function that loads the folder and returns the program's name and what gives a window's logits, and a
line in CONSUMERS.
"""
import contextlib
import importlib
import importlib.metadata
import json
import os
import pathlib
import sys

# Groups of 4 bits that gptqmodel 7.7's first choice for CPUs multiplies: torch's _weight_int4pack_mm_cpu has no others,
# and fails on them at the first token. Its plain kernel takes all.
ATEN_GROUPS = [32, 64, 128, 256]


class Missing(Exception):
    pass


def package(module, distribution=None):
    """-> the module, its name with its version."""
    distribution = distribution or module
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # something that it needs, which it names itself
            raise
        raise Missing(distribution) from error
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:  # run from its source
        version = getattr(found, "__version__", "of unknown version")
    return found, f"{distribution} {version}"


def plain_backend(layout):
    """quantization_config -> what from_pretrained must be told beside it, for gptqmodel's sake."""
    import transformers
    plain = {"gptq": ("GPTQConfig", "gptq_torch"), "awq": ("AwqConfig", "torch_awq")}
    if layout["quant_method"] not in plain or layout["bits"] != 4 or layout["group_size"] in ATEN_GROUPS:
        return {}
    kind, backend = plain[layout["quant_method"]]
    return {"quantization_config": getattr(transformers, kind)(bits=4, backend=backend)}


def in_transformers(module, distribution=None):
    def load(folder, _):
        name = package(module, distribution)[1]
        transformers, loader = package("transformers")
        torch, _ = package("torch")
        layout = json.loads((folder / "config.json").read_text())["quantization_config"]
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", output_loading_info=True, **plain_backend(layout))
        if misplaced := [name for names in report.values() for name in names]:
            raise RuntimeError(f"{loader} loads it without {misplaced[0]}")
        model.eval()

        def logits(ids):
            with torch.no_grad():
                return model(torch.tensor([ids])).logits[0].float().numpy()
        return f"{loader} with {name}", logits
    return load


def graph_inputs(ids, sizes):
    """Of a decoder's graph, for a window behind nothing. sizes: names and shapes of the cache's inputs."""
    import numpy as np
    tokens = np.array([ids], np.int64)
    fed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens),
           "position_ids": np.arange(len(ids), dtype=np.int64)[None]}
    return fed | {name: np.zeros((1, heads, 0, width), np.float32) for name, (heads, width) in sizes.items()}


def in_onnxruntime(folder, _):
    runtime, name = package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    # As genai_config.json has it and the notes of dq say: products of float inputs, by default they are rounded to int8.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session = runtime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    sizes = {i.name: (i.shape[1], i.shape[3]) for i in session.get_inputs() if i.name.startswith("past")}

    def logits(ids):
        fed = graph_inputs(ids, sizes)
        return session.run(["logits"], {i.name: fed[i.name] for i in session.get_inputs()})[0][0]
    return name, logits


def in_openvino(folder, _):
    openvino, name = package("openvino")
    model = openvino.Core().compile_model(str(folder / "model.onnx"), "CPU")
    shapes = {i.any_name: i.partial_shape for i in model.inputs}
    sizes = {name: (s[1].get_length(), s[3].get_length()) for name, s in shapes.items() if name.startswith("past")}

    def logits(ids):
        fed = graph_inputs(ids, sizes)
        return model({name: fed[name] for name in shapes})["logits"][0]
    return name, logits


def in_litert(folder, _):
    name = package("ai_edge_litert", "ai-edge-litert")[1]
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(str(folder / "model.tflite"))
    prefill = interpreter.get_signature_runner("prefill")
    details = prefill.get_input_details()
    width = int(details["tokens"]["shape"][1])

    def logits(ids):
        cache = {n: np.zeros(d["shape"], np.float32) for n, d in details.items() if n.startswith("kv_cache")}
        rows = []
        for begin in range(0, len(ids), width):
            piece = ids[begin:begin + width]
            # Places behind the last token are never looked back at: each sees what stands before it.
            out = prefill(tokens=np.array([piece + [0] * (width - len(piece))], np.int32),
                          input_pos=np.arange(begin, begin + width, dtype=np.int32), **cache)
            rows.append(out.pop("logits")[0, :len(piece)])
            cache = out
        return np.concatenate(rows)
    return name, logits


def in_torch(folder, question):
    torch, name = package("torch")
    module = torch.jit.load(str(folder / "model.pt")).eval()
    layers, heads, width = question["cache"]

    def logits(ids):
        tokens = torch.tensor([ids])
        places = [torch.arange(len(ids))[None]] * ("position_ids" in str(module.forward.schema))
        empty = [torch.zeros(1, heads, 0, width)] * (2 * layers)
        with torch.no_grad():
            return module(tokens, torch.ones_like(tokens), *places, empty)[0][0].numpy()
    return name, logits


def in_llama_cpp(folder, question):
    llama, name = package("llama_cpp", "llama_cpp_python")
    import numpy as np
    longest = max(map(len, question["windows"]))
    model = llama.Llama(str(sorted(folder.glob("*.gguf"))[0]), n_ctx=longest, n_batch=longest, logits_all=True,
                        verbose=False)

    def logits(ids):
        model.reset()
        model.eval(ids)
        return np.array(model.scores[:len(ids)])
    return name, logits


CONSUMERS = {
    "gguf": in_llama_cpp,
    "gptq": in_transformers("gptqmodel"),
    "awq": in_transformers("gptqmodel"),
    "compressed-tensors": in_transformers("compressed_tensors", "compressed-tensors"),
    "bitsandbytes": in_transformers("bitsandbytes"),
    "onnx": in_onnxruntime,
    "openvino": in_openvino,
    "ort-genai": in_onnxruntime,  # its folder holds the same graph
    "tflite": in_litert,
    "torchscript": in_torch,
}


def answers(question):
    """-> the first line, then each window's logits; what fails with the first window is said in the line."""
    windows = question["windows"]
    try:
        if question["format"] not in CONSUMERS:
            raise RuntimeError(f"nibble knows no program that runs {question['format']} here")
        name, logits = CONSUMERS[question["format"]](pathlib.Path(question["folder"]), question)
        first = logits(windows[0])
    except Missing as error:
        yield {"missing": str(error)}
        return
    except Exception as error:  # whatever it is, the card says it
        yield {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        return
    yield {"name": name, "vocab": first.shape[1]}
    yield first
    for ids in windows[1:]:
        yield logits(ids)


def main():
    # Nothing is fetched; packages talk on both outputs, and neither is theirs here.
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    out = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    with contextlib.closing(answers(json.load(sys.stdin))) as pieces:
        out.write(json.dumps(next(pieces)).encode() + b"\n")
        for logits in pieces:
            out.write(logits.astype("<f4").tobytes())
    out.close()


if __name__ == "__main__":
    main()

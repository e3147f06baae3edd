"""nibble export --with-consumer: the KL that it writes of each format's own program, over that of nibble's own evaluation."""
import importlib.util
import json
import pathlib
import sys
import tempfile

from interop.arrays import export
from interop.common import TALES, Row

# scheme, target. TFLite's, GGUF's, LLM.int8()'s programs and the last two of ONNX round the inputs, and so does nibble for
# these.
KINDS = [("w4g128", "onnx"), ("w4g128", "onnx:dq"), ("w4g128", "onnx:nbits-int8"),
         ("w8 --input-ranges minmax", "onnx:int8-qdq"), ("w4g128", "openvino"), ("w4g128", "ort-genai"),
         ("w4g128", "ort-genai:dq"), ("w4g128", "torchscript"),
         ("w8", "tflite"), ("w8", "tflite:int8"), ("w8", "tflite:uint8"),
         ("w4g128", "gptq"), ("w4g128-asym", "awq"), ("w4g128", "compressed-tensors"),
         ("w4g128", "bitsandbytes:nf4"), ("w8", "bitsandbytes:int8")]
BETWEEN_INTEGERS = ["tflite:int8", "tflite:uint8"]
RATIO = 1.05  # issue 7


def one(scheme, target):
    name = f"{target} {scheme}: KL ratio"
    with tempfile.TemporaryDirectory() as work:
        try:
            ranges = ["--calibration", TALES / "calibration.txt"] if target in BETWEEN_INTEGERS else []
            _, out = export(TALES, scheme, target, pathlib.Path(work), *ranges, "--eval", TALES / "held_out.txt", "--tokens", 4200,
                            "--against", TALES, "--with-consumer", "--python", sys.executable)
            loss = json.loads((out / "nibble.json").read_text())["loss"]
            theirs, ours = loss["consumer"], loss["kl_mean"]
            if "unknown" in theirs:
                return Row(name, theirs["unknown"][:60], False)
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)
    far = theirs["kl_mean"] / ours
    return Row(name, f"KL {theirs['kl_mean']:.5f}, ours {ours:.5f}", far <= RATIO, far, RATIO)


def check():
    kinds = KINDS + [("w4g32", "gguf")] * (importlib.util.find_spec("llama_cpp") is not None)
    for scheme, target in kinds:
        yield one(scheme, target)

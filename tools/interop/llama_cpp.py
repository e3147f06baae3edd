"""llama.cpp's own programs on GGUF files that nibble quantizes: types of every tensor as llama-quantize chooses them,
greedy text, perplexity by the same rules, importance matrices both ways, parts; and on exported files of every model
(llama_logits.py)."""
import json
import pathlib
import re
import tempfile

import gguf

from interop import llama_logits
from interop.common import TALES, Row, nibble
from interop.llama_program import Absent, program, programs

TEXT = TALES / "held_out.txt"
CALIBRATION = TALES / "calibration.txt"
SCHEMES = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s",
           "q5_k_m", "q6_k", "iq4_nl", "iq4_xs"]
PROMPT = "Once upon a time"
ALLOWED = .005  # of perplexity: llama.cpp rounds the inputs of quantized linears to eight bits


def quantize(out, scheme, *options):
    nibble("quantize", TALES, "-o", out, "--scheme", scheme, *options)
    return out


def types(path):
    return {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


def perplexity(path, text):
    """Where the program ends before its log does, the end of that is lost, and it runs again."""
    for _ in range(20):
        done = program("llama-perplexity", "-m", path, "-f", text, "-c", 512, "-b", 512, "-t", 2)
        if found := re.search(r"Final estimate: PPL = ([\d.]+)", done.stdout + done.stderr):
            return float(found[1])
    raise RuntimeError("llama-perplexity: twenty times no final estimate")


def same_types(work, floats, imatrix, scheme):
    theirs, ours = work / "theirs.gguf", quantize(work / "ours.gguf", scheme, "--method", "rtn-imatrix", "--imatrix",
                                                  imatrix, "--force")
    program("llama-quantize", "--imatrix", imatrix, floats, theirs, scheme.upper(), 2)
    differ = [name for name, kind in types(theirs).items() if types(ours).get(name) != kind]
    return Row(f"{scheme}: types of llama-quantize", differ[0] if differ else f"{len(types(ours))} the same", not differ)


def same_text(path, name):
    ours = nibble("run", path, "-p", PROMPT, "-n", 32, "--temperature", 0, "--activations", "float")
    theirs = program("llama-completion", "-m", path, "-p", PROMPT, "-n", 32, "--temp", 0, "-no-cnv",
                     "--no-display-prompt").stdout
    theirs, ours = theirs.removeprefix(PROMPT).strip(), ours.removeprefix(PROMPT).strip()
    same = len(ours) > 20 and theirs[:60] == ours[:60]
    return Row(f"{name}: greedy text", "the same text" if same else theirs[:30], same)


def same_perplexity(path, name):
    """llama-perplexity reads special tokens as letters, so the text has none."""
    text = path.with_name("text.txt")
    text.write_text(TEXT.read_text().replace("<|endoftext|>", "\n"))
    ours = json.loads(nibble("eval", path, "--text", text, "--protocol", "llama.cpp", "--json"))["perplexity"]
    theirs = perplexity(path, text)
    far = abs(theirs / ours - 1)
    return Row(f"{name}: perplexity", f"{theirs:.4f}, ours {ours:.4f}", far <= ALLOWED, far, ALLOWED)


def their_quantizer_takes(work, floats, imatrix, name):
    done = program("llama-quantize", "--imatrix", imatrix, floats, work / "theirs.gguf", "Q4_K_M", 2)
    seen = re.search(r"(?:have importance matrix data with|loaded) (\d+)", done.stdout + done.stderr)
    count = int(seen[1]) if seen else 0
    return Row(f"{name} in llama-quantize", f"{count} entries", count == 28)


def tried(kind, check, *args):
    try:
        return check(*args)
    except Exception as error:
        return Row(kind, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)


def check():
    try:
        programs()
    except Absent as error:
        yield Row("llama.cpp", f"skipped: {error}", False, skipped=True)
        return
    except RuntimeError as error:
        yield Row("llama.cpp, built", str(error), False)
        return
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        nibble("export", TALES, "--to", "gguf:f32", "-o", work / "floats")
        floats = work / "floats/model.gguf"
        imatrix = {"imatrix.gguf": [], "imatrix.dat": ["--output-format", "dat"]}
        for name, options in imatrix.items():
            program("llama-imatrix", "-m", floats, "-f", CALIBRATION, "-o", work / name, "-c", 512, "--chunks", 16,
                    *options)
        for scheme in SCHEMES:
            yield tried(f"{scheme}: types", same_types, work, floats, work / "imatrix.gguf", scheme)
            made = work / "ours.gguf"
            yield tried(f"{scheme}: greedy text", same_text, made, scheme)
            yield tried(f"{scheme}: perplexity", same_perplexity, made, scheme)
        a, b = (quantize(work / f"{n}.gguf", "q4_k_m", "--method", "rtn-imatrix", "--imatrix", work / n)
                for n in imatrix)
        same = all(x.data.tobytes() == y.data.tobytes()
                   for x, y in zip(gguf.GGUFReader(a).tensors, gguf.GGUFReader(b).tensors))
        yield Row("imatrix: both forms of llama-imatrix", "the same weights" if same else "other weights", same)
        for name in ("ours.imatrix.gguf", "ours.dat"):
            nibble("calibrate", TALES, "-o", work / "statistics", "--calibration", CALIBRATION, "--windows", 16,
                   "--imatrix", work / name, "--force")
            yield tried(name, their_quantizer_takes, work, floats, work / name, name)
        for scheme in ("w4g32", "w8g32", "w4g128-asym"):
            nibble("quantize", TALES, "-o", work / scheme, "--scheme", scheme, "--method", "rtn")
            nibble("export", work / scheme, "--to", "gguf", "-o", work / f"{scheme}-gguf")
            yield tried(scheme, same_text, work / f"{scheme}-gguf/model.gguf", f"{scheme} exported")
        yield tried("f32", same_text, floats, "f32 exported")
        parts = quantize(work / "parts", "q4_k_m", "--method", "rtn", "--split-size", "500KB")
        yield tried("parts", same_text, sorted(parts.glob("*.gguf"))[0], "parts")
    yield from llama_logits.check()

"""GGUF files in transformers (which dequantizes them), and in llama.cpp where NIBBLE_LLAMA names the folder of
its programs."""
import os
import pathlib
import subprocess
import tempfile

import torch
from transformers import AutoModelForCausalLM

from interop.common import GOLDEN, TALES, Row, nibble
from interop.exported import export, texts_of
from interop.logits import difference, logits_of_nibble

EXACT = 1e-3  # float32: the order of sums, and exp, sin and cos
KINDS = [("", "gguf"), ("", "gguf:f32"), ("", "gguf:f16"), ("", "gguf:q8_0"), ("", "gguf:q6_k"), ("", "gguf:q5_k"),
         ("", "gguf:q5_1"), ("", "gguf:q5_0"), ("", "gguf:q4_k"), ("", "gguf:q4_1"), ("", "gguf:q4_0"),
         ("", "gguf:iq4_nl"), ("", "gguf:q3_k"), ("", "gguf:q2_k"), ("w4g32", "gguf"), ("w4g128-full", "gguf"),
         ("w4g32-asym", "gguf"), ("w4g32-asym", "gguf:q4_1"), ("w3g64-asym", "gguf"), ("w8g32", "gguf")]
FAMILIES = ["qwen2", "qwen3", "bloom", "gpt2", "starcoder2", "stablelm", "falcon-new", "phi3"]
PROMPT = "Once upon a time"


@torch.no_grad()
def logits_of_transformers(folder, texts):
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32).eval()
    return torch.stack([model(torch.tensor([ids])).logits[0] for ids in texts])


def check_one(model, scheme, target):
    name = f"{target} {scheme} {model.name}".replace("  ", " ")
    with tempfile.TemporaryDirectory() as work:
        try:
            folder, texts = export(model, scheme, target, pathlib.Path(work)), texts_of(model)
            ours = torch.stack([logits_of_nibble(folder, ids) for ids in texts])
            far = difference(logits_of_transformers(folder, texts), ours)
        except Exception as error:
            return Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:90], False)
    return Row(name, "yes", far <= EXACT, far, EXACT)


def check_text(scheme, target, programs):
    """llama.cpp's greedy text of the file against nibble's."""
    name = f"{target} {scheme} in llama.cpp".replace("  ", " ")
    with tempfile.TemporaryDirectory() as work:
        folder = export(TALES, scheme, target, pathlib.Path(work))
        ours = nibble("run", folder, "-p", PROMPT, "-n", 32, "--temperature", 0, "--activations", "float")
        done = subprocess.run([f"{programs}/llama-completion", "-m", folder / "model.gguf", "-p", PROMPT, "-n", "32",
                               "--temp", "0", "-no-cnv", "--no-display-prompt"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": programs})
    theirs = done.stdout.removeprefix(PROMPT).strip()
    same = done.returncode == 0 and theirs[:60] == ours.removeprefix(PROMPT).strip()[:60]
    return Row(name, "the same text" if same else theirs[:40] or done.stderr.strip()[-40:], same)


def check():
    for scheme, target in KINDS:
        yield check_one(TALES, scheme, target)
    for family in FAMILIES:
        if (GOLDEN / family).is_dir():
            yield check_one(GOLDEN / family, "", "gguf:f32")
    if programs := os.environ.get("NIBBLE_LLAMA"):
        for scheme, target in (("", "gguf"), ("w4g32", "gguf"), ("w8g32", "gguf"), ("w4g128-asym", "gguf")):
            yield check_text(scheme, target, programs)

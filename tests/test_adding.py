"""docs/ADDING.md: its files compile, and the architecture that it adds runs as numpy says it should."""
import concurrent.futures
import json
import re
import shlex
import subprocess

import numpy as np
import pytest
from folders import read_safetensors, write_safetensors
from nibble import BINARY, ROOT

PAGE = (ROOT / "docs/ADDING.md").read_text()
BLOCKS = re.findall(r"^```cpp\n(.*?)^```", PAGE, re.M | re.S)
FILES = {re.match(r"// (src/\S+)\n", text)[1]: text for text in BLOCKS if text.startswith("// src/")}
ARCH = "src/model/archs/harbor.cc"
BUILD = BINARY.parent

WIDTH, PIERS, HEADS, KV_HEADS, HEAD, VOCAB = 48, 2, 4, 2, 12, 61


def compiler(source, *more):
    """-> how the build compiles this file of src/, as arguments; `more` stand before all others."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"] == str(ROOT / source):
            command = shlex.split(entry["command"])
            return [command[0], *more, *command[1:command.index("-o")]]
    raise AssertionError(f"the build does not compile {source}")


def compile_all(jobs):
    """Runs compilers in BUILD, two at a time."""
    def one(command):
        done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one, jobs))


def link_command():
    """-> how the build links the program, as arguments."""
    lines = subprocess.run(["ninja", "-t", "commands", "-s", "nibble"], cwd=BUILD, capture_output=True,
                           text=True, check=True).stdout.splitlines()
    return [word for word in shlex.split(lines[-1]) if word not in (":", "&&")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """nibble with the page's architecture: its file and the list with one line more, the rest as it was built."""
    folder = tmp_path_factory.mktemp("adding")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    lines = [block for block in BLOCKS if block.startswith("X(")]
    assert lines == ["X(harbor)\n"]
    inc = "src/model/archs/archs.inc"
    (folder / inc).write_text((ROOT / inc).read_text() + lines[0])
    objects = {"src/model/archs/archs.cc": ROOT, ARCH: folder}
    outputs = [folder / f"{i}.o" for i in range(len(objects))]
    # Each is compiled as a neighbour of its room is.
    like = {ARCH: "src/model/archs/llama.cc", "src/quant/methods/rtn_clipped.cc": "src/quant/methods/rtn.cc",
            "src/formats/weights/plain_int8.cc": "src/formats/weights/compressed_tensors.cc",
            "src/cli/vocabulary.cc": "src/cli/tokenize.cc", "src/eval/tasks/odd_one.cc": "src/eval/tasks/piqa.cc"}
    declared = folder / "declared.h"  # what a line in the list would declare
    declared.write_text('#include "cli/commands.h"\nnamespace nibble { extern const Command kCommand_vocabulary; }\n')
    jobs = [[*compiler(like.get(path, path), f"-I{folder}/src"), "-o", out, "-c", root / path]
            for (path, root), out in zip(objects.items(), outputs)]
    jobs += [[*compiler(like[path]), "-Werror", *(["-include", declared] if "/cli/" in path else []), "-fsyntax-only",
              folder / path] for path in FILES if path != ARCH]
    compile_all(jobs)
    link = link_command()
    link[link.index("-o") + 1] = folder / "nibble"
    at = next(i for i, word in enumerate(link) if str(word).endswith("main.cc.o"))
    compile_all([[*link[:at], *outputs, *link[at:]]])
    return folder / "nibble"


def weights(random):
    tensors = {"harbor.quay.weight": (VOCAB, WIDTH), "harbor.out_norm.weight": (WIDTH,), "beacon.weight": (VOCAB, WIDTH)}
    for i in range(PIERS):
        pier = f"harbor.piers.{i}."
        tensors[pier + "norm.weight"] = (WIDTH,)
        for name, n, k in (("attention.query", HEADS * HEAD, WIDTH), ("attention.key", KV_HEADS * HEAD, WIDTH),
                           ("attention.value", KV_HEADS * HEAD, WIDTH), ("attention.out", WIDTH, HEADS * HEAD),
                           ("feed.gate", 4 * WIDTH, WIDTH), ("feed.up", 4 * WIDTH, WIDTH), ("feed.down", WIDTH, 4 * WIDTH)):
            tensors[f"{pier}{name}.weight"] = (n, k)
            if name.split(".")[1] in ("query", "key", "value"):
                tensors[f"{pier}{name}.bias"] = (n,)
    return {name: random.normal(0, .3 if len(shape) == 2 else 1, shape).astype("<f4") for name, shape in tensors.items()}


def norm(x, w):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w


def rotate(x):
    """The first half of each head, (tokens, heads, HEAD): numbers i and i + HEAD / 4 are a pair."""
    half = HEAD // 4
    angle = np.arange(len(x))[:, None, None] * 500. ** (-np.arange(half) / half)
    a, b, rest = x[..., :half], x[..., half:2 * half], x[..., 2 * half:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle), rest], -1)


def forward(w, ids):
    h = w["harbor.quay.weight"][ids].astype(float) * np.sqrt(WIDTH)
    mask = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for i in range(PIERS):
        def linear(name, x):
            module = f"harbor.piers.{i}.{name}"
            return x @ w[module + ".weight"].T + w.get(module + ".bias", 0)
        x = norm(h, w[f"harbor.piers.{i}.norm.weight"])
        q = rotate(linear("attention.query", x).reshape(-1, HEADS, HEAD))
        k = rotate(linear("attention.key", x).reshape(-1, KV_HEADS, HEAD)).repeat(HEADS // KV_HEADS, 1)
        v = linear("attention.value", x).reshape(-1, KV_HEADS, HEAD).repeat(HEADS // KV_HEADS, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD) + mask
        p = np.exp(scores - scores.max(-1, keepdims=True))
        attended = np.einsum("hqk,khd->qhd", p / p.sum(-1, keepdims=True), v).reshape(len(ids), -1)
        gate = linear("feed.gate", x)
        gate = .5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + .044715 * gate ** 3)))
        h = h + linear("attention.out", attended) + linear("feed.down", gate * linear("feed.up", x))
    return norm(h, w["harbor.out_norm.weight"]) @ w["beacon.weight"].T


def test_the_page_adds_an_architecture(program, tmp_path):
    w = weights(np.random.default_rng(5))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(
        {"model_type": "harbor", "width": WIDTH, "piers": PIERS, "num_attention_heads": HEADS, "vocab_size": VOCAB,
         "num_key_value_heads": KV_HEADS}))
    write_safetensors(model / "model.safetensors", {n: ("F32", list(t.shape), t.tobytes()) for n, t in w.items()})
    ids = [int(i) for i in np.random.default_rng(6).integers(0, VOCAB, 20)]

    def logits(folder):
        out = tmp_path / "logits.safetensors"
        done = subprocess.run([program, "logits", folder, "--ids", ",".join(map(str, ids)), "-o", out],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return np.frombuffer(read_safetensors(out)["logits"][2], "<f4").reshape(len(ids), VOCAB)

    want = forward(w, ids)
    assert np.abs(logits(model) - want).max() < 1e-4 * want.std()
    done = subprocess.run([program, "quantize", model, "-o", tmp_path / "w8", "--scheme", "w8", "--method", "rtn"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.abs(logits(tmp_path / "w8") - want).max() < .1 * want.std()
    # The program as it was built does not know the family, and says which it knows.
    refused = subprocess.run([BINARY, "inspect", model], capture_output=True, text=True)
    assert refused.returncode == 1 and "harbor" in refused.stderr and "llama" in refused.stderr

"""Schemes of GGUF: quantized by calibrated methods into ggml's grids, in llama.cpp's mixtures; importance matrices in
and out; files in parts; Ollama's Modelfile."""
import json
import re
import shutil
import struct

import numpy as np
import pytest
from nibble import SHARED, TALES, needs_shared, refused, run, run_json
from test_export import gguf_tensors

CALIBRATION = TALES / "calibration.txt"
FEW = ["--calibration", CALIBRATION, "--windows", 8]
IDS = {"F32": 0, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13,
       "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23}
LINEARS = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
# By the rules of llama-quant.cpp (llama-cpp-python 0.3.36), worked out by hand for tales-3.7m with an importance matrix:
# general.file_type; what is not the main type, by layer; the embedding is Q6_K, of q8_0 Q8_0. ./interop llama.cpp asks
# llama-quantize itself.
MIXES = {
    "q4_0": ("Q4_0", 2, {}), "q4_1": ("Q4_1", 3, {}), "q5_0": ("Q5_0", 8, {}), "q5_1": ("Q5_1", 9, {}),
    "q8_0": ("Q8_0", 7, {}), "q6_k": ("Q6_K", 18, {}), "iq4_nl": ("IQ4_NL", 25, {}), "iq4_xs": ("IQ4_XS", 30, {}),
    "q2_k": ("Q2_K", 10, {"attn_v": "Q3_K " * 4, "attn_output": "Q3_K " * 4, "ffn_down": "Q3_K " * 4}),
    "q3_k_s": ("Q3_K", 11, {}),
    "q3_k_m": ("Q3_K", 12, {"attn_v": "Q5_K Q5_K Q4_K Q4_K", "attn_output": "Q4_K " * 4, "ffn_down": "Q4_K " * 4}),
    "q3_k_l": ("Q3_K", 13, {"attn_v": "Q5_K " * 4, "attn_output": "Q5_K " * 4, "ffn_down": "Q5_K " * 4}),
    "q4_k_s": ("Q4_K", 14, {"attn_v": "Q5_K " * 4}),
    "q4_k_m": ("Q4_K", 15, {"attn_v": "Q4_K Q4_K Q6_K Q6_K", "ffn_down": "Q4_K Q4_K Q6_K Q6_K"}),
    "q5_k_s": ("Q5_K", 16, {}),
    "q5_k_m": ("Q5_K", 17, {"attn_v": "Q5_K Q5_K Q6_K Q6_K", "ffn_down": "Q5_K Q5_K Q6_K Q6_K"}),
}


def quantize(out, scheme, method, *options):
    return run_json("quantize", TALES, "-o", out, "--scheme", scheme, "--method", method, *options)


def kl(model):
    return run_json("eval", model, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 4000)["kl_mean"]


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """-> a folder of statistics, and importance matrices in both forms, of the same windows."""
    folder = tmp_path_factory.mktemp("statistics")
    for name in ("im.gguf", "im.dat"):
        run("calibrate", TALES, "-o", folder / "s", "--imatrix", folder / name, "--force", *FEW)
    return folder


@pytest.mark.parametrize("mix", MIXES)
def test_a_mixture_is_llama_cpps(tmp_path, statistics, mix):
    main, file_type, others = MIXES[mix]
    out = tmp_path / "model.gguf"
    seen = quantize(out, mix, "rtn-imatrix", "--statistics", statistics / "s")
    assert seen["scheme"] == mix and [p.name for p in tmp_path.iterdir()] == ["model.gguf"]
    metadata, tensors = gguf_tensors(out)
    assert metadata["general.file_type"] == file_type and metadata["general.quantization_version"] == 2
    assert json.loads(metadata["nibble.origin"])["recipe"]["rules"] == [f"rest: {mix} rtn-imatrix"]
    assert tensors["token_embd.weight"][0] == IDS["Q8_0" if mix == "q8_0" else "Q6_K"]
    for name in LINEARS:
        types = others.get(name, f"{main} " * 4).split()
        assert [tensors[f"blk.{i}.{name}.weight"][0] for i in range(4)] == [IDS[t] for t in types], name


def test_an_export_has_the_types_of_a_mixture(tmp_path):
    run("export", TALES, "--to", "gguf:q3_k_m", "-o", tmp_path / "export")
    tensors = gguf_tensors(tmp_path / "export/model.gguf")[1]
    assert tensors["token_embd.weight"][0] == IDS["Q6_K"]
    assert [tensors[f"blk.{i}.attn_v.weight"][0] for i in range(4)] == [IDS[t] for t in ("Q5_K", "Q5_K", "Q4_K", "Q4_K")]


def test_calibrated_rounding_loses_less(tmp_path, statistics):
    losses = []
    for method in ("rtn", "rtn-imatrix", "gptq", "balanced"):
        out = tmp_path / f"{method}.gguf"
        seen = quantize(out, "q2_k", method, *([] if method == "rtn" else ["--statistics", statistics / "s"]))
        assert abs(seen["bpw"] - 2.93) < .001
        losses.append(kl(out))
    assert losses[0] > losses[1] * .98 and losses[1] > losses[2] and losses[2] > losses[3], losses
    assert losses[3] < .75 * losses[0]


def test_a_folder_has_what_goes_with_the_file(tmp_path):
    out = tmp_path / "folder"
    seen = quantize(out, "q4_k_s", "balanced", *FEW, "--eval", TALES / "held_out.txt", "--tokens", 2000)
    assert {p.name for p in out.iterdir()} == {"model.gguf", "Modelfile", "nibble.json", "README.md", "tokenizer.json",
                                               "tokenizer_config.json", "generation_config.json"}
    record = json.loads((out / "nibble.json").read_text())
    assert record["consumers"] == ["nibble", "llama.cpp", "ollama"] and len(record["tensors"]) == 29
    assert record["round_trip"] == seen["round_trip"] and seen["round_trip"]["verdict"].startswith("lossless: 29 of 29")
    # The loss is the file's, in llama.cpp's arithmetic.
    wanted = run_json("eval", out, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 2000,
                      "--activations", "int8")
    assert record["loss"] == seen["loss"] and seen["loss"]["ran"] == "this file"
    for key in ("tokens", "kl_mean", "top1", "perplexity", "reference_perplexity"):
        assert seen["loss"][key] == wanted[key]
    card = (out / "README.md").read_text()
    for text in ("# Quantized model, gguf (q4_k_s)", f"KL {wanted['kl_mean']:.5f}", f"{seen['bpw']:.3f} in the blocks' linears",
                 f"{seen['file_bpw']:.3f} over", "29 of 29", "`rest: q4_k_s balanced`", record["calibration"]["hash"],
                 record["source"]):
        assert text in card, text
    assert run("quantize", TALES, "--recipe", out / "nibble.json", "-o", tmp_path / "again", "--dry-run", *FEW[:2]).stdout
    assert (out / "Modelfile").read_text() == ('FROM ./model.gguf\nTEMPLATE {{ .Prompt }}\n'
                                               'PARAMETER stop "<|endoftext|>"\n')
    assert "Modelfile" not in "".join(run_json("lint", out, "--target", "ollama", code=1)["problems"])
    assert len(run("run", out, "-p", "Once upon a time", "-n", 8, "--temperature", 0).stdout) > 20
    assert run_json("verify", out, "--against", out)["relative_error"] == 0


def test_a_loss_that_cannot_be_measured_costs_no_artifact(tmp_path):
    (tmp_path / "short.txt").write_text("")
    quantize(tmp_path / "q", "q4_0", "rtn", "--eval", tmp_path / "short.txt")
    unknown = json.loads((tmp_path / "q/nibble.json").read_text())["loss"]["unknown"]
    assert unknown.startswith("not measured: ") and unknown in (tmp_path / "q/README.md").read_text()


def test_an_export_says_what_its_file_was_made_of(tmp_path):
    source = tmp_path / "x.gguf"
    quantize(source, "q4_k_s", "rtn-imatrix", *FEW)
    run("export", source, "--to", "gguf", "-o", tmp_path / "out")
    origin = json.loads(gguf_tensors(source)[0]["nibble.origin"])
    record = json.loads((tmp_path / "out/nibble.json").read_text())
    for key in ("source", "recipe", "calibration"):
        assert record[key] == origin[key]
    assert "`rest: q4_k_s rtn-imatrix`" in (tmp_path / "out/README.md").read_text()


def test_the_same_bytes_at_any_thread_count(tmp_path):
    one, two = tmp_path / "one.gguf", tmp_path / "two.gguf"
    quantize(one, "q2_k", "gptq", *FEW, "-t", 1)
    quantize(two, "q2_k", "gptq", *FEW, "-t", 3)
    assert one.read_bytes() == two.read_bytes()


def test_rules_of_a_recipe_name_block_types(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("layers 0: q8_0\ndown_proj: iq4_nl rtn\nrest: q4_k_m\nmethod: rtn\nembedding: q4_0\n")
    run("quantize", TALES, "-o", tmp_path / "x.gguf", "--recipe", recipe)
    tensors = gguf_tensors(tmp_path / "x.gguf")[1]
    kinds = {name: tensors[name][0] for name in ("blk.0.attn_q.weight", "blk.3.ffn_down.weight",
                                                 "blk.3.attn_v.weight", "blk.1.attn_v.weight", "token_embd.weight")}
    assert list(kinds.values()) == [IDS[t] for t in ("Q8_0", "IQ4_NL", "Q6_K", "Q4_K", "Q4_0")]


@pytest.mark.parametrize("options,words", [
    (["--scheme", "w4g32", "-o", "x.gguf"], "takes schemes of its own"),
    (["--scheme", "q4_k_m", "--method", "hqq", "-o", "x.gguf"], "hqq cannot round to q4_k_m"),
    (["--scheme", "q4_k_x", "-o", "x.gguf"], "is not a scheme"),
    (["--scheme", "q4_0", "--head", "w8", "-o", "x.gguf"], "schemes of one kind"),
    (["--scheme", "q4_0", "--method", "gptq", "--input-ranges", "minmax", "-o", "x.gguf"], "no place"),
    (["--scheme", "q4_0", "--split-size", "1MB", "-o", "x.gguf"], "give -o a folder"),
    (["--scheme", "w4", "--split-size", "1MB", "-o", "x"], "give -o a folder"),
])
def test_what_a_file_cannot_be(tmp_path, options, words):
    done = run("quantize", TALES, *[tmp_path / o if o.startswith("x") else o for o in options], code=2)
    assert words in done.stderr and not list(tmp_path.iterdir())


@needs_shared
def test_other_models(tmp_path):
    # Rows of 64 are no blocks of 256; OPT is no architecture of llama.cpp's.
    golden = SHARED / "models/golden"
    run("quantize", golden / "qwen2", "-o", tmp_path / "q.gguf", "--scheme", "q4_k_m")
    assert gguf_tensors(tmp_path / "q.gguf")[1]["blk.0.attn_q.weight"][0] == IDS["Q5_0"]
    done = run("quantize", golden / "qwen2", "-o", tmp_path / "p.gguf", "--scheme", "q4_k_m", "--embedding", "q4_k",
               code=2)
    assert "takes whole blocks of 256" in done.stderr
    refused("quantize", golden / "opt", "-o", tmp_path / "o.gguf", "--scheme", "q4_0", words=["opt"])
    # Experts lie one after another; calibration reaches each by itself.
    run("quantize", golden / "mixtral", "-o", tmp_path / "m.gguf", "--scheme", "q4_0", "--method", "gptq", "--windows",
        4, "--window-length", 32)
    run("logits", tmp_path / "m.gguf", "--ids", "1,5,9", "-o", tmp_path / "l.safetensors")


def test_importance_matrices_in_and_out(tmp_path, statistics):
    made = []
    for name in ("im.gguf", "im.dat"):
        made.append(quantize(tmp_path / name, "q4_k_m", "rtn-imatrix", "--imatrix", statistics / name))
        assert "importance matrix" in made[-1]["calibration"]
    own = quantize(tmp_path / "own.gguf", "q4_k_m", "rtn-imatrix", "--statistics", statistics / "s")
    for seen in made:
        for a, b in zip(seen["tensors"], own["tensors"]):
            assert a["module"] == b["module"]
    assert abs(kl(tmp_path / "im.gguf") - kl(tmp_path / "own.gguf")) < .02 * kl(tmp_path / "own.gguf")
    metadata, tensors = gguf_tensors(statistics / "im.gguf")
    assert metadata["general.type"] == "imatrix" and metadata["imatrix.chunk_count"] == 8
    assert len(tensors) == 2 * 28 and tensors["blk.2.ffn_down.weight.in_sum2"][1] == [1, 768]
    counts = np.frombuffer(tensors["blk.2.ffn_down.weight.counts"][2][:4], np.float32)
    assert counts[0] == 8 * 512


def old_form(entries, tail=b""):
    out = struct.pack("<i", len(entries))
    for name, values in entries.items():
        out += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 2, len(values))
        out += np.asarray(values, np.float32).tobytes()
    return out + tail


@pytest.mark.parametrize("blob,words", [
    (b"", "no importance matrix"), (b"\xff\xff\xff\x7f", "ends early"),
    (old_form({"blk.0.attn_q.weight": [1.] * 256})[:-4], "ends early"),
    (old_form({"blk.0.attn_q.weight": [1.] * 255}), "has 255 values"),
    (old_form({"other": [1.] * 256}), "no entry"), (old_form({"a": [float("nan")]}), "make no sense"),
    (old_form({"a": [-1.]}), "make no sense"), (old_form({"a": []}), "empty"),
    (struct.pack("<ii", 1, -5), "ends early")])
def test_bad_importance_matrices(tmp_path, blob, words):
    (tmp_path / "im.dat").write_bytes(blob)
    refused("quantize", TALES, "-o", tmp_path / "x.gguf", "--scheme", "q4_0", "--method", "rtn-imatrix", "--imatrix",
            tmp_path / "im.dat", words=["im.dat", words], leaves=tmp_path)


def test_an_importance_matrix_is_too_little_for_gptq(tmp_path, statistics):
    done = run("quantize", TALES, "-o", tmp_path / "x.gguf", "--scheme", "q4_0", "--method", "gptq", "--imatrix",
               statistics / "im.gguf", code=2)
    assert "take rtn-imatrix" in done.stderr


def test_parts(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quantize(whole, "q4_k_m", "rtn")
    quantize(parts, "q4_k_m", "rtn", "--split-size", "500KB")
    files = sorted(p.name for p in parts.glob("*.gguf"))
    assert len(files) > 2 and files[0] == f"model-00001-of-{len(files):05}.gguf"
    joined = {}
    for i, name in enumerate(files):
        metadata, tensors = gguf_tensors(parts / name)
        assert (metadata["split.no"], metadata["split.count"]) == (i, len(files))
        assert metadata["split.tensors.count"] == len(gguf_tensors(whole / "model.gguf")[1])
        assert ("llama.block_count" in metadata) == (i == 0)
        joined |= tensors
    wanted = gguf_tensors(whole / "model.gguf")[1]
    assert list(joined) == list(wanted)
    assert all(joined[n][2][:10_000] == wanted[n][2][:10_000] for n in wanted)
    assert (parts / "Modelfile").read_text().startswith(f"FROM ./{files[0]}\n")
    assert run_json("verify", parts, "--against", whole)["relative_error"] == 0
    (parts / files[1]).unlink()
    refused("eval", parts, "--text", TALES / "held_out.txt", words=[files[1], "missing"])
    run("export", TALES, "--to", "gguf:q8_0", "-o", tmp_path / "e", "--split-size", "1MB")
    assert len(list((tmp_path / "e").glob("*.gguf"))) > 3


# Elements and bytes of a block.
BLOCKS = {"F32": (1, 4), "Q4_0": (32, 18), "Q4_1": (32, 20), "Q5_0": (32, 22), "Q5_1": (32, 24), "Q8_0": (32, 34),
          "Q2_K": (256, 84), "Q3_K": (256, 110), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210),
          "IQ4_NL": (32, 18), "IQ4_XS": (256, 136)}


def stored(*files):
    """-> name: (type, shape, bytes without padding) of all files together."""
    sizes, out = {IDS[name]: size for name, size in BLOCKS.items()}, {}
    for file in files:
        for name, (kind, shape, raw) in gguf_tensors(file)[1].items():
            elements, size = sizes[kind]
            out[name] = (kind, shape, raw[:int(np.prod(shape)) // elements * size])
    return out


ALL_BLOCKS = ("layers 0 qkv: q4_1\nlayers 0 o_proj: q5_1\nlayers 0 gate_up: iq4_nl\nlayers 0: q5_k\nlayers 1: q5_0\n"
              "layers 2: q8_0\nlayers 3 qkv: q3_k\nrest: q4_0\nembedding: q6_k\nmethod: rtn\n")


@pytest.mark.parametrize("mix", ["q4_k_m", "q2_k", "iq4_xs", None])
def test_an_export_of_blocks_copies_them(tmp_path, mix):
    source = tmp_path / "source.gguf"
    (tmp_path / "r.yaml").write_text(f"rest: {mix} rtn\n" if mix else ALL_BLOCKS)
    run("quantize", TALES, "-o", source, "--recipe", tmp_path / "r.yaml")
    wanted = stored(source)
    kinds = ["", f":{mix}"] if mix else [""]
    for name, target, options in [(f"out{k}", f"gguf{k}", []) for k in kinds] + [("parts", "gguf", ["--split-size", "300KB"])]:
        seen = run_json("export", source, "--to", target, "-o", tmp_path / name, *options)
        assert seen["exact"] and seen["round_trip"]["verdict"].startswith("lossless: 29 of 29")
        assert not any("anew" in note for note in seen["notes"])
        assert stored(*sorted((tmp_path / name).glob("*.gguf"))) == wanted
    assert len(list((tmp_path / "parts").glob("*.gguf"))) > 2
    assert run("verify", tmp_path / "parts", "--against", source, "--lossless").stdout.startswith("lossless")
    # Elsewhere their values are floats, and that is said.
    if mix:
        seen = run_json("export", source, "--to", "onnx", "-o", tmp_path / "onnx")
        assert seen["flavour"] == "f32" and any("lie on no grid of integers" in note for note in seen["notes"])


CHATML = ("{% if messages[0].role != 'system' %}<|im_start|>system\nYou are small.<|im_end|>\n{% endif %}"
          "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
ODD = "{% for m in messages %}{{ m.content | upper }}{% endfor %}"


def said_by_ollama(text, turns):
    """The prompt that a Modelfile of ours makes of turns (role, content), in Python for Ollama's Go."""
    pieces = re.search(r'TEMPLATE """{{- range .Messages }}{{ if eq .Role "system" }}(.*?){{ .Content }}(.*?)'
                       r'{{ else if eq .Role "user" }}(.*?){{ .Content }}(.*?){{ else if eq .Role "assistant" }}(.*?)'
                       r'{{ .Content }}(.*?){{ end }}{{ end }}(.*?)"""', text, re.DOTALL).groups()
    default = re.search(r'SYSTEM """(.*?)"""', text, re.DOTALL)
    if default and turns[0][0] != "system":
        turns = [("system", default[1]), *turns]
    at = {"system": 0, "user": 2, "assistant": 4}
    return "".join(pieces[at[role]] + content + pieces[at[role] + 1] for role, content in turns) + pieces[6]


def test_modelfile_of_a_chat_template(tmp_path):
    shutil.copytree(TALES, tmp_path / "chat")
    (tmp_path / "chat/generation_config.json").write_text('{"eos_token_id": 0, "temperature": 0.7, "top_k": 20}')
    for name, template in (("chatml", CHATML), ("odd", ODD)):
        (tmp_path / "chat/chat_template.jinja").write_text(template)
        run("export", tmp_path / "chat", "--to", "gguf:q8_0", "-o", tmp_path / name)
    text = (tmp_path / "chatml/Modelfile").read_text()
    assert 'PARAMETER stop "<|endoftext|>"\nPARAMETER temperature 0.7\nPARAMETER top_k 20\n' in text
    assert 'SYSTEM """You are small."""' in text
    for system in ([], [("system", "Be brief.")]):
        turns = [*system, ("user", "Hello"), ("assistant", "Yes?"), ("user", "Go on")]
        full = turns if system else [("system", "You are small."), *turns]
        assert said_by_ollama(text, turns) == "".join(
            f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in full) + "<|im_start|>assistant\n"
    assert "TEMPLATE" not in (tmp_path / "odd/Modelfile").read_text()

"""Configs, texts, outputs and files that cannot be used: one line, exit code 1, nothing written."""
import os
import resource
import signal
import subprocess

import pytest
from folders import Folder
from nibble import TALES, digest, refused, run

SCHEME = ("--scheme", "w4g128")
RUN = ("-p", "Once", "-n", 1)

CONFIG = {  # what config.json says, and what the message must name
    "no model_type": (dict(model_type=None, architectures=None), "model_type"),
    "no hidden_size": (dict(hidden_size=None), "hidden_size"),
    "hidden_size as text": (dict(hidden_size="256"), "hidden_size"),
    "fractional hidden_size": (dict(hidden_size=256.5), "hidden_size"),
    "other hidden_size": (dict(hidden_size=512), "model.embed_tokens.weight"),
    "no heads": (dict(num_attention_heads=0), "num_attention_heads"),
    "negative heads": (dict(num_attention_heads=-4), "num_attention_heads"),
    "key/value heads do not divide": (dict(num_key_value_heads=3), "num_key_value_heads"),
    "other head_dim": (dict(head_dim=32), "self_attn.q_proj.weight"),
    "odd head_dim": (dict(head_dim=63), "head_dim"),
    "other MLP": (dict(intermediate_size=1024), "mlp."),
    "other vocabulary": (dict(vocab_size=2049), "model.embed_tokens.weight"),
    "vocabulary of 2^40": (dict(vocab_size=1 << 40), "vocab_size"),
    "no layers": (dict(num_hidden_layers=0), "num_hidden_layers"),
    "more layers than weights": (dict(num_hidden_layers=5), "model.layers.4."),
    "a million layers": (dict(num_hidden_layers=1_000_000), "layers"),
    "2^40 layers": (dict(num_hidden_layers=1 << 40), "num_hidden_layers"),
    "hidden size 2^62": (dict(hidden_size=1 << 62), "hidden_size"),
    "head not tied and not there": (dict(tie_word_embeddings=False), "lm_head.weight"),
    "rope base 0": (dict(rope_parameters=dict(rope_theta=0, rope_type="default")), "rope_theta"),
    "unknown rope": (dict(rope_parameters=dict(rope_theta=1e4, rope_type="spiral")), "spiral"),
    "unknown activation": (dict(hidden_act="sigmoid9"), "sigmoid9"),
    "context of -1": (dict(max_position_embeddings=-1), "max_position_embeddings"),
    "epsilon as text": (dict(rms_norm_eps="small"), "rms_norm_eps"),
}


@pytest.mark.parametrize("case", CONFIG)
def test_config(case, tmp_path):
    changes, word = CONFIG[case]
    folder = Folder(tmp_path / "model")
    folder.config(**changes)
    refused("run", folder.path, *RUN, words=[word], leaves=tmp_path)
    refused("quantize", folder.path, "-o", tmp_path / "out", *SCHEME, words=[word], leaves=tmp_path)


def test_unknown_architecture_names_the_known_ones(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.config(model_type="mamba", architectures=["MambaForCausalLM"])
    refused("inspect", folder.path, words=["mamba", "llama", "qwen2", "qwen3", "mistral"],
            leaves=tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", '{"model_type": "ll\xff"}', "{" * 100_000],
                         ids=["empty", "cut", "list", "no JSON", "not UTF-8", "deep"])
def test_config_that_is_no_json_object(text, tmp_path):
    folder = Folder(tmp_path / "model")
    (folder.path / "config.json").write_bytes(text.encode("latin-1"))
    refused("inspect", folder.path, words=["config.json"], leaves=tmp_path)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_missing_file(file, tmp_path):
    folder = Folder(tmp_path / "model")
    (folder.path / file).unlink()
    refused("run", folder.path, *RUN, words=[folder.path], leaves=tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "BPE", "vocab": 3}}',
                                  '{"model": {"type": "Oracle"}}'])
def test_broken_tokenizer(text, tmp_path):
    folder = Folder(tmp_path / "model")
    (folder.path / "tokenizer.json").write_text(text)
    refused("tokenize", folder.path, "-f", TALES / "config.json", words=["tokenizer.json"],
            leaves=tmp_path)


def test_no_such_model(tmp_path):
    refused("run", tmp_path / "nowhere", *RUN, words=[tmp_path / "nowhere"])


TEXTS = {"invalid UTF-8": (b"Once upon \xc3\x28 a time", "UTF-8"), "empty": (b"", "empty")}


@pytest.mark.parametrize("case", TEXTS)
def test_calibration_text(case, tmp_path):
    raw, word = TEXTS[case]
    (tmp_path / "text.txt").write_bytes(raw)
    refused("quantize", TALES, "-o", tmp_path / "out", *SCHEME, "--method", "gptq",
            "--calibration", tmp_path / "text.txt", words=["text.txt", word], leaves=tmp_path)


@pytest.mark.parametrize("case", TEXTS)
def test_held_out_text(case, tmp_path):
    raw, word = TEXTS[case]
    (tmp_path / "text.txt").write_bytes(raw)
    refused("eval", TALES, "--text", tmp_path / "text.txt", words=["text.txt", word])


def test_held_out_text_shorter_than_a_window(tmp_path):
    (tmp_path / "text.txt").write_text("Once upon a time")
    refused("eval", TALES, "--text", tmp_path / "text.txt", words=["text.txt", "512"])


def test_missing_text(tmp_path):
    refused("eval", TALES, "--text", tmp_path / "none.txt", words=["none.txt"])


def test_text_to_tokenize_that_is_not_utf8(tmp_path):
    (tmp_path / "text.txt").write_bytes(b"caf\xe9")
    refused("tokenize", TALES, "-f", tmp_path / "text.txt", words=["text.txt", "UTF-8"])


@pytest.mark.parametrize("ids", ["5000", "0,2048"])
def test_ids_outside_the_vocabulary(ids):
    refused("run", TALES, "--ids", ids, "-n", 1, words=["2048"])


def test_output_exists(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("keep me")
    refused("quantize", TALES, "-o", out, *SCHEME, words=[out, "--force"], leaves=tmp_path)
    run("quantize", TALES, "-o", out, *SCHEME, "--force")
    assert (out / "config.json").exists() and not (out / "precious").exists()


def test_output_is_the_input(tmp_path):
    folder = Folder(tmp_path / "model")
    refused("quantize", folder.path, "-o", folder.path, *SCHEME, "--force", words=[folder.path],
            leaves=tmp_path)


def test_output_in_a_folder_that_is_not_there(tmp_path):
    refused("quantize", TALES, "-o", tmp_path / "no/such/out", *SCHEME, words=["no/such"],
            leaves=tmp_path)


def test_output_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    refused("quantize", TALES, "-o", tmp_path / "file/out", *SCHEME, words=["file"],
            leaves=tmp_path)


def full_after(size):
    """For a child: a file that grows past `size` bytes fails to write, as on a full disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return limit


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte -> its folder and the options that make a run feel it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0:
        yield disk, {}
        subprocess.run(["umount", disk], check=True)
    else:
        yield disk, {"preexec_fn": full_after(1 << 20)}


def test_disk_full_while_quantizing(small_disk):
    disk, options = small_disk
    refused("quantize", TALES, "-o", disk / "out", *SCHEME, words=["out"], leaves=disk, **options)


def test_disk_full_while_writing_logits(small_disk):
    disk, options = small_disk
    ids = ",".join(["5"] * 400)
    refused("logits", TALES, "--ids", ids, "-o", disk / "l.safetensors", words=["l.safetensors"],
            leaves=disk, **options)


def test_write_fails_half_way(tmp_path):
    """Unlike a full disk, nobody can see this one coming."""
    refused("quantize", TALES, "-o", tmp_path / "out", *SCHEME, words=["out"], leaves=tmp_path,
            preexec_fn=full_after(1 << 20))


def test_full_standard_output():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([str(run.__globals__["BINARY"]), "inspect", TALES], stdout=full,
                              stderr=subprocess.PIPE)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


UNREADABLE = {"FIFO": os.mkfifo, "directory": os.mkdir, "device": lambda p: os.symlink("/dev/zero", p)}


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_regular_file(kind, file, tmp_path):
    folder = Folder(tmp_path / "model")
    (folder.path / file).unlink()
    UNREADABLE[kind](folder.path / file)
    refused("run", folder.path, *RUN, words=[file])


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_no_permission(file, tmp_path):
    folder = Folder(tmp_path / "model")
    (folder.path / file).chmod(0)
    # Root reads everything unless it gives that power away.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    refused("run", folder.path, *RUN, words=[file], under=plain if os.geteuid() == 0 else [])


def test_a_refused_run_leaves_the_input_alone(tmp_path):
    folder = Folder(tmp_path / "model")
    before = digest(folder.path)
    refused("quantize", folder.path, "-o", tmp_path / "no/out", *SCHEME)
    assert digest(folder.path) == before


def test_force_never_removes_what_is_read(tmp_path):
    box, nested, beside = tmp_path / "box", tmp_path / "nested", tmp_path / "a-onnx"
    run("export", TALES, "--to", "gguf", "-o", box)
    Folder(nested / "art"), Folder(beside / "art")
    texts = ["--calibration", nested / "text.txt"]
    (nested / "text.txt").write_text("Once upon a time")
    for out, args in ((box, ["export", box / "model.gguf", "--to", "onnx"]),
                      (box, ["dequantize", box / "model.gguf"]),
                      (nested, ["export", nested / "art", "--to", "onnx"]),
                      (nested, ["export", TALES, "--to", "onnx", "--eval", texts[1], "--against", nested / "art"]),
                      (nested, ["dequantize", nested / "art"]),
                      (nested, ["calibrate", nested / "art"]),
                      (nested, ["calibrate", TALES, *texts]),
                      (tmp_path / "s", ["calibrate", TALES, "--imatrix", nested / "text.txt", *texts]),
                      (nested, ["quantize", nested / "art", "--scheme", "w8"]),
                      (nested, ["quantize", TALES, "--scheme", "w8", *texts]),
                      (tmp_path / "a", ["quantize", beside / "art", "--scheme", "w8", "--method", "rtn", "--export", "onnx"])):
        refused(*args, "-o", out, "--force", words=["which is read and would be removed"], leaves=tmp_path)

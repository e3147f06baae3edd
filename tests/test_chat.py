"""Chat templates against transformers' goldens, and the commands that use them."""
import json
import os
import pty
import signal
import subprocess
import time

import pytest
from folders import Folder
from nibble import BINARY, SHARED, TALES, needs_shared, refused, run, run_json

TEMPLATES = SHARED / "data/chat-templates"
GOLDEN = sorted(TEMPLATES.glob("*.golden.json")) if TEMPLATES.is_dir() else []

CHATML = ("{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|>\n{% endif %}")


@needs_shared
@pytest.mark.parametrize("file", GOLDEN, ids=lambda p: p.name.removesuffix(".golden.json"))
def test_published_templates_render_as_transformers_does(file, tmp_path):
    template = file.with_name(file.name.replace(".golden.json", ".jinja"))
    for name, case in json.loads(file.read_text()).items():
        messages = tmp_path / f"{name}.json"
        messages.write_text(json.dumps(case["messages"]))
        args = ["template", template, "--messages", messages, "--set", "bos_token=<s>",
                "--set", "eos_token=</s>", "--set", "strftime_now=26 Jul 2024"]
        if case["add_generation_prompt"]:
            args.append("--add-generation-prompt")
        if "error" in case:
            message = case["error"].split(": ", 1)[1]
            refused(*args, words=[message[:60]])
        else:
            assert run(*args).stdout == case["rendered"], name


def ask(tmp_path, messages, *args, **options):
    file = tmp_path / "messages.json"
    file.write_text(json.dumps(messages))
    return run("template", *args, "--messages", file, **options)


HI = [{"role": "user", "content": "Hi"}]


def chat_model(path, template=CHATML):
    """The embedded model with a chat template."""
    folder = Folder(path)
    config = json.loads((folder.path / "tokenizer_config.json").read_text())
    (folder.path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    return folder.path


def test_template_of_a_folder(tmp_path):
    model = chat_model(tmp_path / "m")
    out = ask(tmp_path, HI, model, "--add-generation-prompt").stdout
    assert out == "<|user|>\nHi<|endoftext|><|assistant|>\n"
    (model / "chat_template.jinja").write_text("file {{ messages | length }}")
    assert ask(tmp_path, HI, model).stdout == "file 1"
    assert json.loads(ask(tmp_path, HI, model, "--json").stdout) == {"text": "file 1"}


def test_named_templates(tmp_path):
    model = chat_model(tmp_path / "m", [{"name": "default", "template": "one"},
                                        {"name": "tool_use", "template": "two {{ tools | tojson }}"}])
    assert ask(tmp_path, HI, model).stdout == "one"
    tools = tmp_path / "tools.json"
    tools.write_text('[{"name": "f"}]')
    assert ask(tmp_path, HI, model, "--name", "tool_use", "--tools", tools).stdout == 'two [{"name": "f"}]'
    assert "tool_use" in ask(tmp_path, HI, model, "--name", "rag", code=1).stderr


def test_variables_and_date(tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text("{{ a is string }}{{ b is true }}{{ c + 1 }} {{ strftime_now('%Y-%m-%d %H:%M') }}")
    sets = [x for pair in ("a=text", "b=true", "c=3") for x in ("--set", pair)]
    assert ask(tmp_path, HI, file, *sets, "--date", "2024-02-29").stdout == "TrueTrue4 2024-02-29 00:00"
    for date in ("2023-02-29", "26.7.2024", "2024-07-26x"):
        assert "--date" in ask(tmp_path, HI, file, "--date", date, code=2).stderr
    assert "NAME=VALUE" in ask(tmp_path, HI, file, "--set", "a", code=2).stderr


@pytest.mark.parametrize("template, word", [
    ("{{ messages[0].content.x.y }}", "has no attribute 'x'"), ("{% for %}", "line 1"),
    ("\n{{ raise_exception('no\x1b[31m way\n') }}", "line 2: no [31m way"), ("{{ 1", "line 1"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "deeper"),
    ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"),
], ids=["undefined", "syntax", "raised", "cut", "recursion", "endless"])
def test_bad_templates(template, word, tmp_path):
    (tmp_path / "t.jinja").write_text(template)
    (tmp_path / "m.json").write_text(json.dumps(HI))
    refused("template", tmp_path / "t.jinja", "--messages", tmp_path / "m.json", words=[word])


@pytest.mark.parametrize("text", ["{", "5", "[1]", '{"messages": 1}', "[" * 99999])
def test_bad_messages(text, tmp_path):
    (tmp_path / "t.jinja").write_text("x")
    (tmp_path / "m.json").write_text(text)
    refused("template", tmp_path / "t.jinja", "--messages", tmp_path / "m.json", words=["m.json"])


def test_run_chat(tmp_path):
    model = chat_model(tmp_path / "m")
    args = ["run", model, "--chat", "-p", "Tell me a story", "-n", 12, "--temperature", 0]
    seen = run_json(*args, "--system", "Be kind")
    assert seen["prompt"] == ("<|system|>\nBe kind<|endoftext|><|user|>\nTell me a story<|endoftext|>"
                              "<|assistant|>\n")
    text = run_json(*args)["text"]
    assert run(*args).stdout.rstrip("\n") == text.rstrip("\n")  # the answer alone
    refused("run", TALES, "--chat", "-p", "x", words=["chat template"])
    assert "--chat" in run("run", model, "--system", "x", "-p", "y", code=2).stderr


def test_chat_keeps_its_history(tmp_path):
    model, file = chat_model(tmp_path / "m"), tmp_path / "saved.json"
    args = ["chat", model, "-n", 12, "--temperature", 0, "--cache", "f32"]
    lines = f"/system Be kind\nHi\nAnd now?\n/save {file}\n/clear\nHi\n/nope\n"
    done = run(*args, "--json", stdin=lines.encode(), code=1)
    assert "/nope" in done.stderr
    first, second, again = map(json.loads, done.stdout.splitlines())
    saved = json.loads(file.read_text())
    assert [m["role"] for m in saved] == ["system", "user", "assistant", "user", "assistant"]
    assert saved[2]["content"] == first["text"] and saved[4]["content"] == second["text"]
    assert again["text"] == first["text"]  # /clear keeps what the system said
    # What was kept in the cache between turns changes nothing: the same from the file.
    (tmp_path / "until.json").write_text(json.dumps(saved[:3]))
    lines = f"/load {tmp_path / 'until.json'}\nAnd now?\n"
    assert run(*args, stdin=lines.encode()).stdout == second["text"] + "\n"


def test_interrupt_stops_the_answer_and_not_the_program(tmp_path):
    model = chat_model(tmp_path / "m")
    master, slave = pty.openpty()
    chat = subprocess.Popen([BINARY, "chat", model, "--ignore-eos", "-n", "400", "-c", "512"],
                            stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        os.write(master, b"Hi\n")
        assert chat.stdout.read1(1)
        chat.send_signal(signal.SIGINT)
        os.write(master, f"/save {tmp_path / 'one.json'}\n".encode())
        deadline = time.monotonic() + 60
        while not (tmp_path / "one.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
            assert chat.poll() is None
        assert len(json.loads((tmp_path / "one.json").read_text())) == 2
        os.write(master, b"/quit\n")
        assert chat.wait(30) == 0
    finally:
        chat.kill()
        chat.stdout.close()
        os.close(master)
        os.close(slave)

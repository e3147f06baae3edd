"""nibble report: the page holds what nibble eval prints, and nothing from elsewhere."""
import html.parser
import json
import re
import shutil

import pytest
from nibble import SHARED, TALES, needs_shared, refused, run, run_json

TEXT = ["--text", TALES / "held_out.txt", "--tokens", 1200]
VOID = {"meta", "link", "br", "line", "circle", "polyline"}


class Page(html.parser.HTMLParser):
    """Checks that every tag is closed, and gathers texts and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.addresses, self.tags = [], [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    run("quantize", TALES, "-o", folder / "small", "--scheme", "w3g128", "--method", "rtn")
    seen = run_json("report", folder / "small", "--against", TALES, *TEXT, "-o", folder / "r.html",
                    "--markdown", folder / "r.md", "-p", "Once <b>upon</b> & a \"time\"")
    return folder, seen


def test_figures_are_those_of_eval(made):
    folder, seen = made
    measured = run_json("eval", folder / "small", "--against", TALES, *TEXT)
    for key in ("kl_mean", "top1", "perplexity_ratio", "bpw", "tokens"):
        assert seen[key] == pytest.approx(measured[key], abs=1e-12), key
    page, markdown = (folder / "r.html").read_text(), (folder / "r.md").read_text()
    for figure in (f"{measured['kl_mean']:.6f}", f"{100 * measured['top1']:.2f} %", f"{measured['kl_max']:.3f}"):
        assert figure in page and figure in markdown, figure


def test_page_is_whole_and_alone(made):
    text = (made[0] / "r.html").read_text()
    page = Page(text)
    assert "script" not in page.tags and page.addresses == ["data:,"]
    assert not re.search(r"https?://|@import|url\(", text) and len(text) < 2_000_000
    words = "".join(page.words)
    assert 'Once <b>upon</b> & a "time"' in words
    for part in ("Bits and errors", "What was lost", "moved most", "Side by side", "Devices", "How it was made"):
        assert part in words
    assert words.count("self_attn.q_proj") == 1 and "Jetson Nano" in words


def test_histogram_counts_every_token(made):
    folder, seen = made
    counts = re.findall(r"<title>(\d+) tokens from", (folder / "r.html").read_text())
    assert sum(map(int, counts)) == seen["tokens"]


def test_worst_tokens_come_first(made):
    rows = re.findall(r"^\| ([\d.]+) \| ([\d.]+) % \| ([\d.]+) % \|", (made[0] / "r.md").read_text(), re.M)
    kl = [float(r[0]) for r in rows]
    assert len(kl) == 12 and kl == sorted(kl, reverse=True)


@needs_shared
def test_bad_input(tmp_path):
    args = ["report", TALES, "--against", TALES, "-o", tmp_path / "r.html"]
    refused(*args, "--text", tmp_path / "none.txt", words=["none.txt"], leaves=tmp_path)
    refused("report", TALES, "--against", SHARED / "models/stories260K", "-o", tmp_path / "r.html", *TEXT,
            words=["not the same model"], leaves=tmp_path)
    assert "--text" in run(*args, code=2).stderr


def test_other_versions_are_measured_on_the_same_text(made, tmp_path):
    folder, alone = made
    others = {"w8": "w8", "a & <b>": "w2g64-asym"}
    for name, scheme in others.items():
        run("quantize", TALES, "-o", tmp_path / name, "--scheme", scheme, "--method", "rtn")
    beside = [part for name in others for part in ("--beside", tmp_path / name)]
    seen = run_json("report", folder / "small", "--against", TALES, *TEXT, *beside, "-o", tmp_path / "r.html",
                    "--markdown", tmp_path / "r.md")
    assert alone["beside"] == [] and seen["kl_mean"] == alone["kl_mean"]
    assert [v["model"] for v in seen["beside"]] == ["a & <b>", "w8"], "by bytes"
    for version in seen["beside"]:
        measured = run_json("eval", tmp_path / version["model"], "--against", TALES, *TEXT)
        for key in ("kl_mean", "top1", "bpw"):
            assert version[key] == pytest.approx(measured[key], abs=1e-12), key
    text = (tmp_path / "r.html").read_text()
    Page(text)
    assert text.count("a &amp; &lt;b&gt;") == 2 and "http" not in text
    assert text.count("<circle") == 4, "three versions, and a ring around this one"
    assert f"{seen['beside'][0]['kl_mean']:.6f}" in (tmp_path / "r.md").read_text()
    refused("report", folder / "small", "--against", TALES, *TEXT, "--beside", tmp_path / "none", "-o",
            tmp_path / "x.html", words=["none"])


def with_record(made, tmp_path, change):
    """The made model with its record changed -> (folder, arguments of a report on it)."""
    folder = tmp_path / "changed"
    shutil.copytree(made[0] / "small", folder)
    record = json.loads((folder / "nibble.json").read_text())
    change(record["tensors"])
    (folder / "nibble.json").write_text(json.dumps(record))
    return ["report", folder, "--against", TALES, "--text", TALES / "held_out.txt", "--tokens", 600, "-o", tmp_path / "r.html"]


def test_bits_are_those_of_the_scheme(made, tmp_path):
    def change(tensors):
        tensors[0]["scheme"], tensors[1]["scheme"] = "q6_k", "iq4_nl"

    run(*with_record(made, tmp_path, change))
    cells = re.findall(r'title="(\w+)"><b>(\d)</b>', (tmp_path / "r.html").read_text())
    assert {("q6_k", "6"), ("iq4_nl", "4"), ("w3g128", "3")} == set(cells)


@pytest.mark.parametrize("change, words", [
    (lambda t: t[0].pop("scheme"), ["nibble.json", "scheme"]),
    (lambda t: t[0].update(scheme=""), ["nibble.json", '"" of "model.layers.0', "is no scheme"]),
    (lambda t: t[0].update(module="model.layers.100000000.mlp.up_proj"), ["nibble.json", "the model has 4"]),
    (lambda t: t.insert(0, "x"), ["nibble.json", "an object for each"])])
def test_a_bad_record_is_refused(made, tmp_path, change, words):
    refused(*with_record(made, tmp_path, change), words=words)
    assert not (tmp_path / "r.html").exists()


def widths(markdown):
    """-> device: whether its widths run, from the table of devices."""
    return dict(re.findall(r"^\| ([^|]+) \| \w+ \| [\d.e+]+ \| ([^|]+) \|$", markdown.split("## Devices")[1], re.M))


def test_widths_are_those_of_the_weights(made, tmp_path):
    """Four bits in other programs' forms, and floats, which have no record of ours."""
    run("quantize", TALES, "-o", tmp_path / "four", "--scheme", "w4g32", "--method", "rtn")
    run("export", tmp_path / "four", "--to", "gptq", "-o", tmp_path / "gptq")
    run("export", TALES, "--to", "gguf:q4_0", "-o", tmp_path / "gguf")
    [gguf] = (tmp_path / "gguf").glob("*.gguf")
    for model in (tmp_path / "gptq", gguf):
        run("report", model, "--against", TALES, *TEXT[:2], "--tokens", 600, "-o", tmp_path / "r.html", "--markdown",
            tmp_path / "r.md")
        seen = widths((tmp_path / "r.md").read_text())
        assert seen["Raspberry Pi 4 \\(8 GB\\)"] == "yes"
        assert seen["Coral Edge TPU"] == seen["Intel Myriad X \\(NCS2\\)"] == "not listed"
    run("report", TALES, "--against", TALES, *TEXT[:2], "--tokens", 600, "-o", tmp_path / "r.html", "--markdown",
        tmp_path / "r.md")
    assert set(widths((tmp_path / "r.md").read_text()).values()) == {"unknown"}
    assert "unknown</span>" in (tmp_path / "r.html").read_text()


def test_two_windows_give_two_prompts(made, tmp_path):
    run("report", made[0] / "small", "--against", TALES, *TEXT, "-o", tmp_path / "r.html",
        "--markdown", tmp_path / "r.md")
    prompts = re.findall(r"^\n(.+)\n\n- float: ", (tmp_path / "r.md").read_text().split("## Side by side")[1], re.M)
    assert len(prompts) == len(set(prompts)) == 2


def test_it_writes_as_nibble_run_does(made, tmp_path):
    folder, seen = made
    assert seen["speed_arithmetic"].startswith("int8 activations")
    for page in ("r.html", "r.md"):
        assert (folder / page).read_text().count(seen["speed_arithmetic"]) >= 1, page
    text = run_json("run", folder / "small", "-p", "Once <b>upon</b> & a \"time\"", "-n", 40, "--temperature", 0)["text"]
    page = Page((folder / "r.html").read_text())
    assert text.replace("\n", "⏎") in "".join(page.words)
    floats = run_json("report", folder / "small", "--against", TALES, *TEXT, "--activations", "float", "-o", tmp_path / "r.html")
    assert floats["speed_arithmetic"] == "float" and floats["kl_mean"] == seen["kl_mean"]

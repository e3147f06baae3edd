"""Tasks against lm-evaluation-harness' recorded answers (tools/make_task_vectors.py), and how a run behaves."""
import json
import signal
import time

import pytest
from nibble import ROOT, TALES, refused, run, run_json, start

RECORDED = json.loads((ROOT / "tests/task_answers.json").read_text())
OURS = {"acc_bytes": "acc_norm"}  # the harness' acc_norm counts characters


def items_file(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def kept(journal):
    return list(json.loads(journal.read_text())["answers"].values())


@pytest.mark.parametrize("name", RECORDED)
def test_answers_are_the_harness_own(name, tmp_path):
    known, journal = RECORDED[name], tmp_path / "answers.json"
    seen = run_json("eval", TALES, "--task", items_file(tmp_path / "items.jsonl", known["items"]),
                    "--journal", journal, "--max-tokens", 24, "--stop", ".")
    assert seen["kind"] == known["kind"] and seen["items"] == len(known["items"])
    [answers] = kept(journal)
    if "texts" in known:
        assert [a["text"].strip() for a in answers] == known["texts"]
    else:
        assert [a["greedy"] for a in answers] == known["greedy"]
        for answer, logs in zip(answers, known["log_likelihoods"], strict=True):
            assert answer["log_likelihoods"] == pytest.approx(logs, abs=2e-4)
    for metric, value in known["metrics"].items():
        ours = seen["metrics"][OURS.get(metric, metric)]
        assert ours["value"] == pytest.approx(value, rel=1e-5) and ours["low"] <= ours["value"] <= ours["high"]


def test_a_text_that_is_met_counts(tmp_path):
    known = RECORDED["exact-match"]
    items = [dict(item, target=["other", f" {text} "] if i < 3 else "other")
             for i, (item, text) in enumerate(zip(known["items"], known["texts"]))]
    seen = run_json("eval", TALES, "--task", items_file(tmp_path / "items.jsonl", items), "--stop", ".",
                    "--max-tokens", 24)
    assert seen["metrics"]["exact_match"]["value"] == 3 / 12


def test_a_translation_that_is_met_is_whole(tmp_path):
    known = RECORDED["exact-match"]
    items = [{"context": item["context"], "reference": text} for item, text in zip(known["items"], known["texts"])]
    seen = run_json("eval", TALES, "--task", items_file(tmp_path / "items.jsonl", items), "--stop", ".",
                    "--max-tokens", 24)
    assert seen["kind"] == "translation"
    assert seen["metrics"]["bleu"]["value"] == pytest.approx(100) and seen["metrics"]["chrf"]["value"] == 100
    assert seen["metrics"]["bleu"]["signature"] == "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def test_labels_may_lie_in_a_file_of_their_own(tmp_path):
    known = RECORDED["piqa"]
    bare = [{k: v for k, v in item.items() if k != "label"} for item in known["items"]]
    task, labels = items_file(tmp_path / "items.jsonl", bare), tmp_path / "labels.lst"
    labels.write_text("".join(f"{item['label']}\n" for item in known["items"]))
    seen = run_json("eval", TALES, "--task", task, "--labels", labels)
    assert seen["metrics"]["acc"]["value"] == pytest.approx(known["metrics"]["acc"])
    refused("eval", TALES, "--task", task, words=["line 1", "no label", "--labels"])
    labels.write_text("0\n1\n")
    refused("eval", TALES, "--task", task, "--labels", labels, words=[labels, "2 labels for 12 items"])
    labels.write_text("0\n" * 11 + "2\n")
    refused("eval", TALES, "--task", task, "--labels", labels, words=["line 12", "label 2 of 2 options"])


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    out = tmp_path_factory.mktemp("rounded") / "out"
    run("quantize", TALES, "-o", out, "--scheme", "w2", "--method", "rtn")
    return out


def test_flips_and_paired_intervals_beside_the_float_model(rounded, tmp_path):
    known, journal = RECORDED["last-word"], tmp_path / "answers.json"
    task = items_file(tmp_path / "items.jsonl", known["items"])
    args = ["eval", rounded, "--against", TALES, "--task", task, "--journal", journal]
    seen = run_json(*args)
    acc, flips = seen["metrics"]["acc"], seen["flips"]
    own, reference = ([a["greedy"][0] for a in answers] for answers in kept(journal))
    assert reference == [g[0] for g in known["greedy"]]
    assert flips["changed"] == sum(a != b for a, b in zip(own, reference)) > 0
    assert flips["lost"] == sum(b and not a for a, b in zip(own, reference))
    assert flips["gained"] == sum(a and not b for a, b in zip(own, reference))
    assert acc["reference"] == pytest.approx(known["metrics"]["acc"])
    assert acc["difference"]["value"] == pytest.approx((flips["gained"] - flips["lost"]) / len(own))
    assert acc["difference"]["low"] <= acc["difference"]["value"] <= acc["difference"]["high"]
    assert acc["difference"]["low"] < acc["difference"]["high"]
    assert seen["metrics"]["perplexity"]["reference"] == pytest.approx(known["metrics"]["perplexity"], rel=1e-5)
    text = run(*args).stdout
    assert f"{flips['changed']} of 12 changed" in text and "float model" in text


def test_a_model_beside_itself_flips_nothing(tmp_path):
    task = items_file(tmp_path / "items.jsonl", RECORDED["choice"]["items"])
    seen = run_json("eval", TALES, "--against", TALES, "--task", task, "--limit", 5)
    assert seen["items"] == 5 and seen["flips"] == {"changed": 0, "lost": 0, "gained": 0}
    assert seen["metrics"]["acc"]["difference"] == {"value": 0, "low": 0, "high": 0}


def test_a_killed_run_goes_on(tmp_path):
    """Its answers are those of a run that was not stopped, and the kept ones are not asked for again."""
    long = RECORDED["instructions"]["items"] * 4
    task, journal = items_file(tmp_path / "items.jsonl", long), tmp_path / "answers.json"
    whole = run_json("eval", TALES, "--task", task, "--journal", tmp_path / "whole.json")
    process = start("eval", TALES, "--task", task, "--journal", journal, "-t", 1)
    deadline = time.monotonic() + 60
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    [before] = kept(journal)
    before = [a for a in before if a]
    again = run_json("eval", TALES, "--task", task, "--journal", journal)
    assert again["metrics"] == whole["metrics"] and 0 < len(before) <= len(long)
    assert kept(journal)[0][:len(before)] == before == kept(tmp_path / "whole.json")[0][:len(before)]
    # A third run finds everything: it may not change a thing that was put in its place.
    content = json.loads(journal.read_text())
    [answers] = content["answers"].values()
    for answer in answers:
        answer["log_likelihoods"] = [-4., -3., -2., -1.]
    journal.write_text(json.dumps(content))
    assert run_json("eval", TALES, "--task", task, "--journal", journal)["metrics"] != whole["metrics"]


def test_answers_of_another_task_are_refused(tmp_path):
    items, journal = RECORDED["last-word"]["items"], tmp_path / "answers.json"
    task = items_file(tmp_path / "items.jsonl", items[:4])
    run("eval", TALES, "--task", task, "--journal", journal)
    refused("eval", TALES, "--task", items_file(tmp_path / "other.jsonl", items[4:]), "--journal", journal,
            words=[journal, "another task"])
    content = json.loads(journal.read_text())
    [answers] = content["answers"].values()
    answers[2] = {"log_likelihoods": [1, 2], "greedy": [True, True]}
    journal.write_text(json.dumps(content))
    refused("eval", TALES, "--task", task, "--journal", journal, words=[journal, "answer 2"])
    journal.write_text("[]")
    refused("eval", TALES, "--task", task, "--journal", journal, words=[journal, "no answers"])


@pytest.mark.parametrize("text, words", [
    ("", ["no items"]), ("[]", ["no items"]), ("[1]", ["item 0", "object"]), ("{\"a\": ", ["line 1"]),
    ('{"other": 1}', ["no kind of task", "last-word"]),
    ('{"context": "a", "options": ["b"], "label": 0}', ["1 options"]),
    ('{"context": "a", "options": ["b", ""], "label": 0}', ["an option is empty"]),
    ('{"context": "a", "options": ["b", 3], "label": 0}', ["options", "texts"]),
    ('{"context": "a", "options": ["b", "c"], "label": 2}', ["label 2 of 2"]),
    ('{"context": "a", "options": ["b", "c"], "label": -7}', ["label -7"]),
    ('{"context": "a", "options": ["b", "c"], "label": "x"}', ["label"]),
    ('{"instruction": "a", "answer": "b"}', ["Answer format:"]),
    ('{"instruction": "Answer format: a/b", "answer": "c"}', ["none of the options"]),
    ('{"text": "a word "}', ["ends with a space"]),
    ('{"context": "a", "target": []}', ["target", "empty"]),
    ('{"text": "' + "word " * 600 + "x" * 4000 + '"}', ["item 0", "do not fit"]),
])
def test_bad_items_are_named(text, words, tmp_path):
    task = tmp_path / "items.jsonl"
    task.write_text(text)
    refused("eval", TALES, "--task", task, words=words)


def test_wrong_calls_end_with_2(tmp_path):
    task = items_file(tmp_path / "items.jsonl", RECORDED["last-word"]["items"])
    run("eval", TALES, code=2)
    run("eval", TALES, "--task", task, "--text", task, code=2)
    run("eval", TALES, "--task", task, "--task-kind", "riddles", code=2)
    run("eval", TALES, "--task", task, "--labels", task, code=1)
    run("eval", TALES, "--text", task, "--limit", 3, code=2)
    run("eval", "--bleu", task, code=2)


def test_bleu_and_chrf_of_files(tmp_path):
    known = json.loads((ROOT / "tests/text_scores.json").read_text())
    # Texts with line breaks of their own do not go into files of lines.
    texts, references = tmp_path / "texts", tmp_path / "references"
    same = [text for text, _ in known["pairs"][:50]]
    texts.write_text("\n".join(same) + "\n")
    references.write_text("\n".join(same))
    for tok in ("13a", "intl"):
        seen = run_json("eval", "--bleu", texts, "--reference", references, "--tok", tok)
        assert seen["items"] == 50 and seen["metrics"]["bleu"]["value"] == pytest.approx(100)
        assert f"tok:{tok}" in seen["metrics"]["bleu"]["signature"]
    seen = run_json("eval", "--bleu", texts, "--reference", references, "--reference", references)
    assert seen["metrics"]["chrf"]["signature"] == "nrefs:2|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
    references.write_text("one line\n")
    refused("eval", "--bleu", texts, "--reference", references, words=[references, "1 lines", "50"])
    references.write_bytes(b"\xff\n")
    refused("eval", "--bleu", texts, "--reference", references, words=[references, "UTF-8"])

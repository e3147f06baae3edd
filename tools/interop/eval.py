"""Tasks in lm-evaluation-harness, item by item, and BLEU and chrF in sacrebleu."""
import json
import pathlib
import tempfile

import lm_eval
import sacrebleu
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from interop.common import ROOT, TALES, Row, nibble
from make_text_score_vectors import pairs

TASKS = ROOT.parent / "shared/data/tasks"
CLOSE = 2e-4  # nats of a whole option: float32 in another order
LIMIT = 200
CHOICE = {"output_type": "multiple_choice", "doc_to_text": "{{context}}", "doc_to_choice": "{{options}}",
          "doc_to_target": "{{label}}"}
YAML = {
    "choice": CHOICE,
    "instructions": {
        "output_type": "multiple_choice", "doc_to_text": "{{instruction}}",
        "doc_to_choice": "{{instruction.split('Answer format:')[-1].strip().split('/')}}", "doc_to_target": "{{answer}}"},
    "piqa": {"output_type": "multiple_choice", "doc_to_text": "Question: {{goal}}\nAnswer:",
             "doc_to_choice": "{{[sol1, sol2]}}", "doc_to_target": "{{label}}"},
    "last-word": {"output_type": "loglikelihood", "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}",
                  "doc_to_target": "{{' '+text.split(' ')[-1]}}"},
    "exact-match": {
        "output_type": "generate_until", "doc_to_text": "{{context}}", "doc_to_target": "{{target}}",
        "generation_kwargs": {"until": ["."], "do_sample": False, "max_gen_toks": 24},
        "filter_list": [{"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}]},
}
METRICS = {"choice": ["acc", "acc_bytes"], "instructions": ["acc"], "piqa": ["acc", "acc_bytes"],
           "last-word": ["perplexity", "acc"], "exact-match": ["exact_match"]}
OURS = {"acc_bytes": "acc_norm"}  # the harness' acc_norm counts characters


def own_items():
    """Choices, last words and beginnings from the model's held-out stories."""
    stories = [" ".join(s.split()) for s in (TALES / "held_out.txt").read_text().split("<|endoftext|>")]
    words = [s.split(" ") for s in stories if len(s.split(" ")) > 60][:80]
    choices = [{"context": " ".join(w[:30]) + (" " if i % 5 == 0 else ""), "label": i % 3,
                "options": [" ".join(words[(i + j - i % 3) % len(words)][30:32 + 4 * j]) + ("é" if j == 1 else "")
                            for j in range(3)]} for i, w in enumerate(words)]
    choices.append({"context": "", "options": ["Once upon", "One day"], "label": 0})
    return {"choice": choices, "last-word": [{"text": " ".join(w[:40 + i % 20])} for i, w in enumerate(words)],
            "exact-match": [{"context": " ".join(w[:25]), "target": " ".join(w[25:30])} for w in words[:20]]}


def given_items():
    """Those of shared/data/tasks, where they are there."""
    if not TASKS.is_dir():
        return {}
    piqa = [json.loads(line) for line in (TASKS / "valid.jsonl").read_text().splitlines()]
    for item, label in zip(piqa, (TASKS / "valid-labels.lst").read_text().split()):
        item["label"] = int(label)
    return {"piqa": piqa, "instructions": json.loads((TASKS / "ARC-Easy.test.json").read_text()),
            "instructions (BoolQ)": json.loads((TASKS / "boolq.test.json").read_text())}


def harness(model, kind, file, work):
    """-> what it says of each item, in order, and of all."""
    task = YAML[kind] | {"task": "own", "dataset_path": "json", "test_split": "test",
                         "dataset_kwargs": {"data_files": {"test": str(file)}},
                         "metric_list": [{"metric": m} for m in METRICS[kind]]}
    (work / "own.yaml").write_text(yaml.safe_dump(task))
    seen = lm_eval.simple_evaluate(model, tasks=["own"], task_manager=TaskManager(include_path=str(work)),
                                   log_samples=True, bootstrap_iters=0)
    return sorted(seen["samples"]["own"], key=lambda s: s["doc_id"]), seen["results"]["own"]


def check_task(model, name, items, work):
    kind = name.split(" (")[0]
    file, journal = work / "items.jsonl", work / "answers.json"
    file.write_text("".join(json.dumps(item) + "\n" for item in items[:LIMIT]))
    journal.unlink(missing_ok=True)
    ours = json.loads(nibble("eval", TALES, "--task", file, "--task-kind", kind, "--journal", journal,
                             "--max-tokens", 24, "--stop", ".", "--json"))
    [answers] = json.loads(journal.read_text())["answers"].values()
    samples, results = harness(model, kind, file, work)
    far, same = 0., len(samples) == len(answers) == ours["items"]
    for sample, answer in zip(samples, answers):
        if kind == "exact-match":
            same &= sample["filtered_resps"][0] == answer["text"].strip()
            continue
        theirs = sample["filtered_resps"]
        far = max(far, *(abs(t[0] - a) for t, a in zip(theirs, answer["log_likelihoods"], strict=True)))
        same &= [bool(t[1]) for t in theirs] == answer["greedy"]
    for metric in METRICS[kind]:
        [theirs] = [v for k, v in results.items() if k.split(",")[0] == metric]
        same &= abs(theirs / ours["metrics"][OURS.get(metric, metric)]["value"] - 1) < 1e-4 if theirs else \
            ours["metrics"][OURS.get(metric, metric)]["value"] == 0
    values = ", ".join(f"{k} {v['value']:.4g}" for k, v in ours["metrics"].items())
    return Row(f"{name}, {len(answers)} items", values, same and far <= CLOSE, far, CLOSE)


def check_texts(tok, work):
    both = [[" ".join(text.split()) for text in pair] for pair in pairs(seed=2)[:1000]]
    for name, side in (("texts", 0), ("references", 1)):
        (work / name).write_text("".join(pair[side] + "\n" for pair in both))
    seen = json.loads(nibble("eval", "--bleu", work / "texts", "--reference", work / "references", "--tok", tok, "--json"))
    texts, references = [t for t, _ in both], [r for _, r in both]
    bleu = sacrebleu.BLEU(tokenize=tok, force=True)
    theirs = bleu.corpus_score(texts, [references]).score
    chrf = sacrebleu.corpus_chrf(texts, [references]).score
    far = max(abs(theirs - seen["metrics"]["bleu"]["value"]), abs(chrf - seen["metrics"]["chrf"]["value"]))
    same = str(bleu.get_signature()) == seen["metrics"]["bleu"]["signature"]
    return Row(f"sacrebleu, tok {tok}, 1,000 pairs", f"bleu {theirs:.4f}, chrf {chrf:.4f}", same and far < 1e-6, far, 1e-6)


def check():
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for tok in ("13a", "intl"):
            yield check_texts(tok, work)
        model = HFLM(pretrained=str(TALES), dtype="float32", device="cpu", batch_size=1)
        for name, items in (own_items() | given_items()).items():
            yield check_task(model, name, items, work)

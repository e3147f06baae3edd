"""make_task_vectors.py: writes tests/task_answers.json, a few items of every kind of task and what
lm-evaluation-harness says of them with models/tales-3.7m. Run with PYTHONPATH=tools and a Python with lm_eval."""
import json
import pathlib
import tempfile

from lm_eval.models.huggingface import HFLM

from interop.common import ROOT, TALES
from interop.eval import METRICS, given_items, harness, own_items

COUNT = 12


def main():
    model, out = HFLM(pretrained=str(TALES), dtype="float32", device="cpu", batch_size=1), {}
    for name, items in (own_items() | given_items()).items():
        kind = name.split(" (")[0]
        with tempfile.TemporaryDirectory() as work:
            file = pathlib.Path(work) / "items.jsonl"
            file.write_text("".join(json.dumps(item) + "\n" for item in items[-COUNT:]))
            samples, results = harness(model, kind, file, pathlib.Path(work))
        responses = [s["filtered_resps"] for s in samples]
        out[name] = {"kind": kind, "items": items[-COUNT:],
                     "metrics": {m: v for k, v in results.items() for m in METRICS[kind] if k.split(",")[0] == m}}
        if kind == "exact-match":
            out[name]["texts"] = [r[0] for r in responses]
        else:
            out[name]["log_likelihoods"] = [[one[0] for one in r] for r in responses]
            out[name]["greedy"] = [[bool(one[1]) for one in r] for r in responses]
    (ROOT / "tests/task_answers.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()

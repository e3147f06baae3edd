"""./interop [FORMAT...]: every kind of each format, written by nibble and loaded by its consumer.

To add a format: a module beside this one whose check() yields a Row for every kind, the packages it needs in
requirements.txt, and one line in FORMATS.
"""
import argparse
import importlib
import os
import time

from interop import table

FORMATS = {
    "native": "the folder that quantize writes, in transformers with compressed-tensors",
    "gguf": "GGUF files in transformers",
    "llama.cpp": "GGUF files in llama.cpp's programs",
    "gptq": "GPTQ folders in transformers with gptqmodel",
    "awq": "AWQ folders in transformers with gptqmodel",
    "compressed_tensors": "compressed-tensors exports in transformers",
    "bitsandbytes": "bitsandbytes folders in transformers",
    "onnx": "ONNX models in onnxruntime, OpenVINO and ONNX Runtime GenAI",
    "gguf_package": "GGUF files in the gguf package",
    "tflite": "TFLite files in LiteRT, its own kernels and XNNPACK's",
    "torchscript": "TorchScript archives in torch.jit.load",
    "with_consumer": "what nibble export --with-consumer writes of each",
    "report": "the page of nibble report in Chromium",
    "eval": "tasks in lm-evaluation-harness, BLEU and chrF in sacrebleu",
}


# Those whose packages requirements-light.txt has.
LIGHT = ["gguf_package", "onnx", "tflite"]


def table_line(kind, result, difference, allowed, verdict):
    print(f"{kind:<45} {result:<30} {difference:>10} {allowed:>8}  {verdict}", flush=True)


def show(row):
    number = "{:.1e}".format
    table_line(row.kind, row.result, "" if row.difference is None else number(row.difference),
               "" if row.allowed is None else number(row.allowed),
               "skipped" if row.skipped else "passed" if row.passed else "FAILED")


def counts(rows):
    """-> how many passed, and how many failed."""
    judged = [r.passed for r in rows if not r.skipped]
    return sum(judged), len(judged) - sum(judged)


def summary(rows):
    """rows: format -> its rows. Prints how many passed: Markdown, a line each format."""
    print("| format | checked | passed | failed | largest difference of a logit |\n|---|---|---|---|---|")
    for name, seen in rows.items():
        passed, failed = counts(seen)
        far = max((r.difference for r in seen if r.difference is not None), default=None)
        print(f"| {name} | {FORMATS[name]} | {passed} | {failed} | {'' if far is None else f'{far:.1e}'} |")
    print()


def main():
    about = "\n".join(f"  {name:<19} {what}" for name, what in FORMATS.items())
    parser = argparse.ArgumentParser(prog="interop", description="formats:\n" + about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help="default: all")
    chosen = parser.parse_args().formats or (LIGHT if os.environ.get("NIBBLE_INTEROP_LIGHT") else list(FORMATS))
    for name in set(chosen) - FORMATS.keys():
        parser.error(f"{name} is not one of {', '.join(FORMATS)}")
    rows, began = {}, time.monotonic()
    for name in chosen:
        print(f"{name}: {FORMATS[name]}")
        table_line("kind", "loaded", "difference", "allowed", "verdict")
        rows[name] = []
        for row in importlib.import_module("interop." + name.replace(".", "_")).check():
            show(row)
            rows[name].append(row)
        print()
    summary(rows)
    print(f"difference: the largest of any logit, in standard deviations of nibble's logits; "
          f"{time.monotonic() - began:.0f} s\n")
    seen = [row for some in rows.values() for row in some]
    table.show(seen)
    passed, failed = counts(seen)
    skipped = len(seen) - passed - failed
    print(f"{passed} passed, {failed} failed" + f", {skipped} skipped" * bool(skipped))
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())

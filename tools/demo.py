"""demo.py: what ./demo shows once nibble is built: sizes, the loss table, two stories, speed."""
import json
import pathlib
import shutil
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = "models/tales-3.7m"
OUT = pathlib.Path("build/demo")
JOBS = [("rtn", "w4g128"), ("gptq", "w4g128-asym"), ("gptq", "w3g128-asym")]
STORY = "gptq-w4g128-asym"  # the artifact that tells one
PROMPT = "Once upon a time"


def nibble(*args):
    """Runs nibble -> the JSON that it prints; its messages show only where it fails."""
    done = subprocess.run(["build/release/nibble", *map(str, args), "--json"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"nibble {' '.join(map(str, args))}\n{done.stderr}demo: stopped")
    return json.loads(done.stdout)


def megabytes(size):
    return f"{size / 1e6:.2f} MB"


def folder_bytes(folder):
    return sum(p.stat().st_size for p in pathlib.Path(folder).glob("*.safetensors"))


def quantize_and_measure(method, scheme):
    """-> the report of quantize and that of eval, the latter also kept as a file."""
    name = f"{method}-{scheme}"
    made = nibble("quantize", MODEL, "-o", OUT / name, "--scheme", scheme, "--method", method,
                  *(["--calibration", f"{MODEL}/calibration.txt"] if method == "gptq" else []))
    loss = nibble("eval", OUT / name, "--against", MODEL, "--text", f"{MODEL}/held_out.txt",
                  "--tokens", 20000)
    (OUT / f"{name}.eval.json").write_text(json.dumps(loss, indent=1) + "\n")
    print(f"  {name}: quantized in {made['seconds']:.1f} s, measured in {loss['seconds']:.1f} s",
          flush=True)
    return made, loss


def show_table(results):
    row = "  {:<20} {:>11} {:>9} {:>9} {:>8} {:>8} {:>11}  {}".format
    print(row("", "bits/weight", "on disk", "KL mean", "KL p99", "top-1", "perplexity", "ratio (95 %)"))
    print(row("float", "16", megabytes(folder_bytes(MODEL)), "", "", "",
              f"{results[0][1]['reference_perplexity']:.4f}", "1"))
    for made, loss in results:
        print(row(f"{made['method']} {made['scheme']}", f"{loss['bpw']:.3f}",
                  megabytes(folder_bytes(made["output"])), f"{loss['kl_mean']:.5f}",
                  f"{loss['kl_p99']:.4f}", f"{100 * loss['top1']:.2f} %",
                  f"{loss['perplexity']:.4f}",
                  f"{loss['perplexity_ratio']:.4f} ({loss['ratio_low']:.4f} .. {loss['ratio_high']:.4f})"))


def show_stories(models, width=46):
    """The same prompt and seed for every (title, folder), side by side."""
    columns = []
    for title, folder in models:
        told = nibble("run", folder, "-p", PROMPT, "-n", 160, "--temperature", 0.7, "--seed", 4)
        text = PROMPT + told["text"]
        columns.append([title, "-" * width] + [line for part in text.splitlines()
                                               for line in textwrap.wrap(part, width)])
    height = max(map(len, columns))
    for lines in zip(*(c + [""] * (height - len(c)) for c in columns)):
        print("  " + "   ".join(f"{line:<{width}}" for line in lines).rstrip())


def show_speed(models):
    for title, folder in models:
        seen = nibble("bench", folder, "-p", 256, "-n", 64, "--runs", 10)
        reading, writing = (test["tokens_per_second"] for test in seen["tests"])
        print(f"  {title:<20} {reading:>7.0f} tokens/s reading, {writing:>6.0f} tokens/s writing "
              f"({seen['threads']} threads, {seen['arithmetic']})")


def main():
    shutil.rmtree(ROOT / OUT, ignore_errors=True)
    (ROOT / OUT).mkdir(parents=True)
    print("\nQuantizing:")
    results = [quantize_and_measure(*job) for job in JOBS]
    print(f"\nWhat it cost ({results[0][1]['windows']} windows of held-out stories; KL in nats a token):")
    show_table(results)
    models = [("float", MODEL), (STORY.replace("-", " ", 1), OUT / STORY)]
    print(f'\nThe same prompt, "{PROMPT}", and the same seed:')
    show_stories(models)
    print("\nSpeed on this machine:")
    show_speed(models)
    print(f"\nThis model is tiny: its figures do not carry over to large ones. Artifacts and reports are "
          f"in {OUT}/.\nOn: build/release/nibble run {OUT / STORY} -p \"{PROMPT}\"")


if __name__ == "__main__":
    main()

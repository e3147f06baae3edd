"""check_style.py: the size of the house and its format.

No source file above 400 lines but tables (*.inc), C++ formatted as .clang-format says. Prints the
median, which should stay at 200 or below.
"""
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST, MEDIAN = 400, 200


def main():
    cpp = sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in {".h", ".cc"})
    scripts = sorted(p for folder in ("tools", "tests") for p in (ROOT / folder).glob("*.py"))
    lines = {p: len(p.read_text().splitlines()) for p in cpp + scripts}
    wrong = [f"{p.relative_to(ROOT)}: {n} lines, more than {LONGEST}"
             for p, n in lines.items() if n > LONGEST]
    middle = statistics.median(lines.values())
    if middle > MEDIAN:
        wrong.append(f"the median file has {middle:.0f} lines, more than {MEDIAN}")
    style = subprocess.run(["clang-format-19", "--dry-run", "-Werror", *map(str, cpp)],
                           capture_output=True, text=True)
    unformatted = sorted({line.split(":")[0] for line in style.stderr.splitlines()
                          if "-Wclang-format-violations" in line})
    wrong += [f"{pathlib.Path(p).relative_to(ROOT)}: mend it with clang-format-19 -i"
              for p in unformatted]
    for line in wrong:
        print(line)
    print(f"style: {len(lines)} files, {sum(lines.values())} lines, median {middle:.0f}, "
          f"longest {max(lines.values())}, {len(wrong)} wrong")
    return bool(wrong) or (style.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())

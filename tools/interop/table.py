"""The table of every format, consumer and family, as Markdown: a line each format:flavour and consumer, a column each model."""
import re

from interop.common import models

LEGEND = ("cells: the largest difference of any logit from nibble's, in standard deviations, then the KL from nibble's "
          "distribution to the consumer's; or, where both round what they multiply, ×: the consumer's KL to the float model over "
          "that of nibble's own evaluation. refused: by nibble, with the reason (docs/FORMATS.md)")


def short(number):
    return re.sub(r"e([+-])0", r"e\1", f"{number:.0e}").replace("e+", "e") if number else "0"


def largest(rows, field):
    return max((getattr(r.seen, field) for r in rows if r.seen and getattr(r.seen, field) is not None), default=None)


def cell(rows):
    """What all rows of one place say together: the worst of each."""
    if not rows:
        return ""
    if not all(r.passed for r in rows):
        return "FAILED"
    seen = [r for r in rows if r.seen]
    logits, kl, ratio = (largest(seen, field) for field in ("logits", "kl", "ratio"))
    words = [] if logits is not None else sorted({r.seen.words for r in seen})
    if logits is not None:
        words.append(f"{short(logits)} / {short(kl) if ratio is None else f'×{ratio:.2f}'}")
    return ", ".join(words + ["refused"] * (len(seen) < len(rows)))


def lines(rows, families):
    """rows: of any formats. -> (consumer, format, flavours, cells) in the order of the formats' first rows; flavours whose
    cells are the same words stand together."""
    placed = [r for r in rows if r.place]
    # What was refused has no folder that says its flavour; another family's has.
    known = {(r.place.target, r.place.scheme): r.seen.flavour for r in placed if r.seen and r.seen.flavour}
    grid = {}
    for r in placed:
        flavour = r.seen.flavour if r.seen and r.seen.flavour else known.get((r.place.target, r.place.scheme), r.place.target)
        grid.setdefault((flavour, r.place.consumer), {}).setdefault(r.place.family, []).append(r)
    joined = {}
    for (flavour, consumer), by_family in grid.items():
        form, _, name = flavour.partition(":")
        cells = tuple(cell(by_family.get(family, [])) for family in families)
        joined.setdefault((form, consumer, cells), []).append(name)
    order = list(dict.fromkeys(form for form, _, _ in joined))
    return sorted(((form, consumer, names, cells) for (form, consumer, cells), names in joined.items()),
                  key=lambda line: order.index(line[0]))


def show(rows):
    families = [m.name for m in models() if any(r.place and r.place.family == m.name for r in rows)]
    if not families:
        return
    print("| format:flavour | consumer | " + " | ".join(families) + " |\n|---|---|" + "---|" * len(families))
    for form, consumer, names, cells in lines(rows, families):
        flavours = ", ".join(name for name in names if name)
        print(f"| {form}{':' * bool(flavours)}{flavours} | {consumer} | " + " | ".join(cells) + " |")
    print(f"\n{LEGEND}\n")

"""The tables of a comparison, from the rounds' results."""
import statistics

# What is compared: (words, our artifact, their file, row, ratio asked for, share of the machine's
# limit that will do instead, which limit). Issue 4.
BARS = [
    ("int4 decode, w4g32 : Q4_0", "w4g32", "Q4_0", "tg", 1.2, .90, "read"),
    ("int4 decode, w4g128 : Q4_0", "w4g128", "Q4_0", "tg", 1.25, .90, "read"),
    ("int8 decode, w8 : Q8_0", "w8", "Q8_0", "tg", 1.05, .92, "read"),
    ("int4 prefill, w4g32 : Q4_0", "w4g32", "Q4_0", "pp", 1.8, .70, "macs"),
    ("int8 prefill, w8 : Q8_0", "w8", "Q8_0", "pp", 1.4, .70, "macs"),
]


def spread(values, digits=2):
    return (f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}.."
            f"{max(values):.{digits}f})")


def our_rates(rounds, name, row):
    return [r[name][row] for r in rounds]


def their_rates(rounds, name, row):
    """With flash attention off or on, whichever has the better median -> rates, "fa0" or "fa1"."""
    choices = {fa: [r[name][f"{row} {fa}"] for r in rounds] for fa in ("fa0", "fa1")}
    best = max(choices, key=lambda fa: statistics.median(choices[fa]))
    return choices[best], best


def limits(rounds, name):
    """-> bytes, multiply-accumulates a second of each round, as nibble saw them beside this one."""
    reports = [r[name]["report"] for r in rounds]
    macs = [r["mac_limit_per_second"] for r in reports]
    return ([r["read_limit_bytes_per_second"]["median"] for r in reports],
            [m["median"] for m in macs] if all(macs) else None)


def test_of(report, row):
    return next(t for t in report["tests"]
                if t["test"].startswith(row[:2]) and (t["depth"] > 0) == ("@" in row))


def per_token(rounds, name, row, what):
    test = test_of(rounds[0][name]["report"], row)
    return test[what] / test["tokens"]


def verdict(good):
    return "met" if good else "**not met**"


def bar_rows(rounds):
    for words, ours, theirs, row, asked, share_asked, limit in BARS:
        rates, (peer, fa) = our_rates(rounds, ours, row), their_rates(rounds, theirs, row)
        ratios = [a / b for a, b in zip(rates, peer)]
        read, macs = limits(rounds, ours)
        top = read if limit == "read" else macs
        amount = per_token(rounds, ours, row, "read_bytes" if limit == "read" else "macs")
        shares = [amount * rate / t for rate, t in zip(rates, top)] if top else None
        share = spread(shares) if shares else "unknown"
        met = (statistics.median(ratios) >= asked
               or bool(shares) and statistics.median(shares) >= share_asked)
        yield (words, spread(rates), f"{spread(peer)} {fa}", spread(ratios), f">= {asked}",
               f"{share} of {limit}", f">= {share_asked:.2f}", verdict(met))


def narrow_rows(rounds):
    """3 and 2 bits against our 4: the gain in speed beside what fewer bytes would give."""
    for name in ("w3g128", "w2g64"):
        gains = [a / b for a, b in zip(our_rates(rounds, name, "tg"), our_rates(rounds, "w4g128", "tg"))]
        fewer = (per_token(rounds, "w4g128", "tg", "read_bytes")
                 / per_token(rounds, name, "tg", "read_bytes"))
        parts = [g / fewer for g in gains]
        yield (f"decode, {name} : w4g128", spread(our_rates(rounds, name, "tg")),
               spread(our_rates(rounds, "w4g128", "tg")), spread(gains),
               f">= .9 x {fewer:.2f}", spread(parts) + " of the bytes' ratio", ">= 0.90",
               verdict(statistics.median(parts) >= .9))


def depth_row(rounds, depth):
    row = f"tg@{depth}"
    ours = [r["w4g32"][row] / r["w4g32"]["tg"] for r in rounds]
    (deep, _), (empty, _) = their_rates(rounds, "Q4_0", row), their_rates(rounds, "Q4_0", "tg")
    theirs = [a / b for a, b in zip(deep, empty)]
    return (f"decode after {depth} tokens : after none, w4g32", spread(ours), spread(theirs),
            spread([a / b for a, b in zip(ours, theirs)]), "", "", ">= 0.85 (ours)",
            verdict(statistics.median(ours) >= .85))


def first_rows(rounds, file_bytes):
    ours, theirs = ([r[name]["first"] for r in rounds] for name in ("w4g32", "Q4_0"))
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(ours, theirs)]
    yield ("start to first token, w4g32 : Q4_0, s", spread([f["seconds"] for f in ours]),
           spread([f["seconds"] for f in theirs]), spread(ratios), "<= 0.5", "", "",
           verdict(statistics.median(ratios) <= .5))
    parts = [f["resident"] / file_bytes for f in ours]
    yield ("most resident memory, w4g32 : Q4_0, MB", spread([f["resident"] / 1e6 for f in ours], 0),
           spread([f["resident"] / 1e6 for f in theirs], 0),
           spread([a["resident"] / b["resident"] for a, b in zip(ours, theirs)]), "",
           spread(parts) + " of the file", "<= 1.15", verdict(statistics.median(parts) <= 1.15))


def speed_rows(rounds, llama_bytes):
    """Every measured row of every subject beside the machine's limit: bytes read for decoding,
    multiply-accumulates (as many in both programs) for prefill."""
    for name in rounds[0]:
        ours = "report" in rounds[0][name]
        read, macs = limits(rounds, name if ours else "w4g32")
        for row in rounds[0][name]:
            if row in ("report", "first"):
                continue
            rates, size, share = our_rates(rounds, name, row), "-", "-"
            if row.startswith("tg") and (ours or "@" not in row):  # theirs without the cache
                read_bytes = per_token(rounds, name, row, "read_bytes") if ours else llama_bytes[name]
                size = f"{read_bytes / 1e6:.0f}"
                share = spread([read_bytes * r / t for r, t in zip(rates, read)]) + " of read"
            elif row.startswith("pp") and macs:
                amount = per_token(rounds, "w4g32", row.split()[0], "macs")
                share = spread([amount * r / t for r, t in zip(rates, macs)]) + " of macs"
            yield name, row, spread(rates), size, share


def put_table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def put_all(rounds, o, llama_bytes, file_bytes):
    report = rounds[0]["w4g32"]["report"]
    every = [limits(rounds, name) for name in rounds[0] if "report" in rounds[0][name]]
    read = [value / 1e9 for part, _ in every for value in part]
    macs = [value / 1e9 for _, part in every for value in part or ()]
    print(f"{report['cpu']}; {o.threads} threads; nibble's kernels: {report['kernels']}; "
          f"{o.rounds} rounds, medians (least..most) of them")
    print(f"limits of the same run: read {spread(read, 1)} GB/s, multiply-accumulate "
          f"{spread(macs, 1) if macs else 'unknown'} GMAC/s\n")
    put_table(("what", "nibble", "llama.cpp", "ratio", "bar", "of the machine", "or", ""),
              [*bar_rows(rounds), *narrow_rows(rounds), depth_row(rounds, o.depth),
               *first_rows(rounds, file_bytes)])
    print()
    put_table(("subject", "row", "tokens/s", "MB read/token", "of the machine"),
              speed_rows(rounds, llama_bytes))

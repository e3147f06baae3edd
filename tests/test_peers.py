"""bench/peers: the arithmetic of its tables, on made-up results."""
import argparse
import sys

from nibble import ROOT

sys.path.insert(0, str(ROOT / "bench/peers"))
import tables  # noqa: E402

READ, MACS = 20e9, 200e9


def ours(rate, read_bytes):
    """One round's results of an artifact that decodes at `rate` and prefills three times as fast."""
    limit = {"read_limit_bytes_per_second": {"median": READ}, "mac_limit_per_second": {"median": MACS}}
    tests = [{"test": "pp8", "depth": 0, "tokens": 8, "read_bytes": 9, "macs": 8e9},
             {"test": "tg4", "depth": 0, "tokens": 4, "read_bytes": 4 * read_bytes, "macs": 4e9},
             {"test": "tg4 @64", "depth": 64, "tokens": 4, "read_bytes": 4 * read_bytes + 8, "macs": 4e9}]
    report = {"cpu": "a CPU", "kernels": "avx2", "tests": tests} | limit
    return {"report": report, "pp": 3. * rate, "tg": rate, "tg@64": .9 * rate,
            "first": {"seconds": .4, "resident": 110}}


def theirs(rate):
    row = {"pp": 2. * rate, "tg": rate, "tg@64": .5 * rate}
    return ({f"{name} fa0": .5 * value for name, value in row.items()}
            | {f"{name} fa1": value for name, value in row.items()}
            | {"first": {"seconds": 1., "resident": 300}})


def a_round(rate):
    return {"Q4_0": theirs(rate), "w4g32": ours(1.3 * rate, 6e8), "w4g128": ours(1.1 * rate, 5e8),
            "w3g128": ours(1.4 * rate, 4e8), "w2g64": ours(1.2 * rate, 3e8), "Q8_0": theirs(.5 * rate),
            "w8": ours(.6 * rate, 1e9)}


ROUNDS = [a_round(rate) for rate in (10., 11., 12.)]


def test_the_better_flash_attention_counts():
    assert tables.their_rates(ROUNDS, "Q4_0", "tg") == ([10., 11., 12.], "fa1")


def test_bars():
    rows = {row[0]: row for row in tables.bar_rows(ROUNDS)}
    int4, narrow = rows["int4 decode, w4g32 : Q4_0"], rows["int4 decode, w4g128 : Q4_0"]
    assert int4[3] == "1.30 (1.30..1.30)" and int4[-1] == "met"
    assert narrow[3] == "1.10 (1.10..1.10)" and narrow[-1] == "**not met**"
    assert rows["int8 decode, w8 : Q8_0"][-1] == "met"
    # 1.95 times their prefill.
    assert rows["int4 prefill, w4g32 : Q4_0"][-1] == "met"


def test_a_share_of_the_limit_will_do_instead():
    quick = [a_round(rate) for rate in (36.3, 36.4, 36.5)]  # x 1.1 x 5e8 bytes = 20 GB/s
    rows = {row[0]: row for row in tables.bar_rows(quick)}
    assert rows["int4 decode, w4g128 : Q4_0"][-1] == "met"


def test_narrow_codes_against_their_bytes():
    three, two = tables.narrow_rows(ROUNDS)
    assert three[-1] == "met"  # 1.27 times as fast, 1.25 times fewer bytes
    assert two[-1] == "**not met**"


def test_all_tables(capsys):
    o = argparse.Namespace(threads=2, rounds=3, depth=64)
    tables.put_all(ROUNDS, o, {"Q4_0": 6e8, "Q8_0": 11e8}, 100)
    out = capsys.readouterr().out
    assert "start to first token" in out and "1.10 (1.10..1.10) of the file" in out
    for columns in {line.count("|") for line in out.splitlines() if line.startswith("|")}:
        assert columns in (6, 9)

"""run_tests.py: the unit tests of build/release, those of the kernels on emulated ARM CPUs, the fuzz
targets for some seconds, and the whole-binary tests of tests/, counted together.

Fails when a test failed, when a runner crashed or ran nothing, and when a test was skipped although
../shared, the one thing that a test may lack, is there.
"""
import concurrent.futures
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
# The CPU that each table of kernels.inc is tested on; emulation is too slow to test all on all.
EMULATED = {"neoni8mm": "max", "neondot": "cortex-a76", "neon": "cortex-a72",
            "reference": "cortex-a72"}

FUZZ_SECONDS = 4  # a target


def unit_tests(report):
    """-> (name, "passed" | "failed" | "skipped") of every test in gtest's report."""
    for suite in json.loads(report.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            if "failures" in test:
                yield name, "failed"
            else:
                yield name, "passed" if test["result"] == "COMPLETED" else "skipped"


def whole_binary_tests(report):
    """The same from pytest's report."""
    for test in xml.parse(report).iter("testcase"):
        name = f"{test.get('classname')}.{test.get('name')}"
        kinds = {child.tag for child in test}
        failed = kinds & {"failure", "error"}
        yield name, "failed" if failed else "skipped" if "skipped" in kinds else "passed"


def run(name, command, report, read):
    """Runs one runner -> its tests; a runner that fails without a failed test is one itself."""
    report.unlink(missing_ok=True)
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    tests = list(read(report)) if report.exists() else []
    if not tests or (code != 0 and all(result != "failed" for _, result in tests)):
        tests.append((f"{name} (exit code {code}, {len(tests)} tests reported)", "failed"))
    return tests


def emulated_tests(cpu):
    """The tests of build/aarch64 under qemu, less the tables that other CPUs are for."""
    report = RESULTS / f"{cpu}.json"
    elsewhere = ":".join(f"*/{table}" for table in EMULATED if EMULATED[table] != cpu)
    tests = run("nibble_kernel_tests",
                ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", cpu,
                 ROOT / "build/aarch64/nibble_kernel_tests", "--gtest_brief=1",
                 f"--gtest_filter=-{elsewhere}", f"--gtest_output=json:{report}"],
                report, unit_tests)
    tests += [(f"none of {table}", "failed") for table in EMULATED
              if EMULATED[table] == cpu and not any(name.endswith(f"/{table}") for name, _ in tests)]
    return [(f"{cpu}: {name}", result) for name, result in tests]


def fuzzed(target):
    """A fuzz target for some seconds from its seeds, the same ones each time; without libFuzzer the seeds alone."""
    name = target.name.removeprefix("nibble_fuzz_")
    with tempfile.TemporaryDirectory() as found:
        code = subprocess.run([target, f"-max_total_time={FUZZ_SECONDS}", "-seed=1", "-verbosity=0",
                               f"-artifact_prefix={RESULTS}/{name}-", found, ROOT / "fuzz/corpus" / name],
                              cwd=ROOT, stdin=subprocess.DEVNULL).returncode
    return f"fuzz.{name}", "passed" if code == 0 else "failed"


def main():
    RESULTS.mkdir(parents=True, exist_ok=True)
    unit, whole = RESULTS / "unit.json", RESULTS / "whole.xml"
    tests = run("nibble_tests",
                [ROOT / "build/release/nibble_tests", "--gtest_brief=1", f"--gtest_output=json:{unit}"],
                unit, unit_tests)
    if platform.machine() == "x86_64":  # an ARM host has just tested its own
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for some in pool.map(emulated_tests, dict.fromkeys(EMULATED.values())):
                tests += some
    targets = sorted((ROOT / "build/fuzz").glob("nibble_fuzz_*"))
    tests += [fuzzed(target) for target in targets] or [("none of fuzz/", "failed")]
    tests += run("pytest",
                 [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests",
                  f"--junitxml={whole}"],
                 whole, whole_binary_tests)
    if (ROOT.parent / "shared").is_dir():
        tests = [(f"{name} (skipped though ../shared is here)", "failed") if result == "skipped"
                 else (name, result) for name, result in tests]
    for name, result in tests:
        if result != "passed":
            print(f"{result}: {name}")
    count = {kind: sum(result == kind for _, result in tests)
             for kind in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return bool(count["failed"])


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.exit(main())

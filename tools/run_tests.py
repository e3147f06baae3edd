"""run_tests.py: the unit tests of build/dev and the whole-binary tests of tests/, counted together.

Fails when a test failed, when a runner crashed or ran nothing, and when a test was skipped although
../shared, the one thing that a test may lack, is there.
"""
import json
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"


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


def main():
    RESULTS.mkdir(parents=True, exist_ok=True)
    unit, whole = RESULTS / "unit.json", RESULTS / "whole.xml"
    tests = run("nibble_tests",
                [ROOT / "build/dev/nibble_tests", "--gtest_brief=1", f"--gtest_output=json:{unit}"],
                unit, unit_tests)
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

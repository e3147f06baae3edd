"""llama.cpp's programs: NIBBLE_LLAMA names their folder, or they are built in build/llama from the source distribution of
llama-cpp-python, as bench/peers/compare does."""
import functools
import os
import re
import subprocess
import sys

from interop.common import ROOT

sys.path.append(str(ROOT / "bench/peers"))
import prepare  # noqa: E402

NAMES = ("llama-completion", "llama-perplexity", "llama-quantize", "llama-imatrix")


class Absent(RuntimeError):
    """Why there is no source to build."""


@functools.cache
def programs():
    """-> their folder. Raises Absent, or RuntimeError where the source does not build."""
    if given := os.environ.get("NIBBLE_LLAMA"):
        return given
    cache = ROOT / "build/llama"
    try:
        prepare.llama_source(cache)
    except SystemExit:
        raise Absent(f"NIBBLE_LLAMA names none, and llama-cpp-python {prepare.SDIST} cannot be had from PyPI") from None
    try:
        return str(prepare.llama_programs(cache, avx2=False, targets=NAMES))
    except SystemExit as error:
        raise RuntimeError(str(error).splitlines()[-1]) from None


def program(name, *args):
    folder = programs()
    done = subprocess.run([f"{folder}/{name}", *map(str, args)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": folder})
    if done.returncode:
        [reason, *_] = re.findall("error.*", done.stderr) or done.stderr.splitlines()[-1:]
        raise RuntimeError(f"{name}: {reason}")
    return done

"""llama.cpp's programs; NIBBLE_LLAMA names their folder."""
import os
import re
import subprocess

PROGRAMS = os.environ.get("NIBBLE_LLAMA")


def program(name, *args):
    done = subprocess.run([f"{PROGRAMS}/{name}", *map(str, args)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": PROGRAMS})
    if done.returncode:
        [reason, *_] = re.findall("error.*", done.stderr) or done.stderr.splitlines()[-1:]
        raise RuntimeError(f"{name}: {reason}")
    return done

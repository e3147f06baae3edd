"""The check of the floors must catch what it is there for."""
import subprocess
import sys

from nibble import ROOT

CHECK = ROOT / "tools/check_floors.py"


def check(src):
    done = subprocess.run([sys.executable, CHECK, src], capture_output=True, text=True)
    return done.returncode, done.stdout


def house(tmp_path, files):
    (tmp_path / "FLOORS").write_text("top  # the roof\nleft right\n\nbottom\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_clean_house_passes(tmp_path):
    code, out = check(house(tmp_path, {
        "top/a.cc": '#include "left/b.h"\n#include "top/a.h"\n#include <vector>\n',
        "top/a.h": '#include "bottom/c.h"\n', "left/b.h": '#include "bottom/c.h"\n',
        "bottom/c.h": "#pragma once\n"}))
    assert code == 0 and "4 files" in out and "0 wrong" in out


def test_an_upward_include_fails(tmp_path):
    code, out = check(house(tmp_path, {"bottom/c.h": '#include "left/b.h"\n', "left/b.h": ""}))
    assert code == 1 and "bottom/c.h: includes left/b.h, upward" in out


def test_a_sideways_include_fails(tmp_path):
    code, out = check(house(tmp_path, {"left/b.h": '#  include "right/d.h"\n', "right/d.h": ""}))
    assert code == 1 and "left/b.h: includes right/d.h, sideways" in out


def test_an_unknown_room_fails(tmp_path):
    code, out = check(house(tmp_path, {"top/a.h": '#include "cellar/e.h"\n', "cellar/e.h": ""}))
    assert code == 1 and "cellar is no room" in out


def test_a_circle_fails(tmp_path):
    code, out = check(house(tmp_path, {
        "left/a.h": '#include "left/b.h"\n', "left/b.h": '#include "left/c.h"\n',
        "left/c.h": '#include "left/a.h"\n'}))
    assert code == 1 and "circle: left/a.h -> left/b.h -> left/c.h -> left/a.h" in out


def test_an_empty_house_fails(tmp_path):
    assert check(house(tmp_path, {}))[0] == 1

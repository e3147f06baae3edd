"""check_floors.py [SRC]: holds the floors of a house.

SRC/FLOORS names the rooms (folders) from top to bottom, one floor a line, `#` starts a comment.
Fails on an include that goes up or sideways, that names a room or file which is not there, or that
closes a circle between files.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
SUFFIXES = {".h", ".cc", ".inc"}


def read_floors(path):
    """-> room: height, the top room highest."""
    lines = [line.split("#")[0].split() for line in path.read_text().splitlines()]
    floors = [rooms for rooms in lines if rooms]
    return {room: len(floors) - i for i, rooms in enumerate(floors) for room in rooms}


def read_includes(src):
    """-> file: the files it includes, both as paths below src."""
    files = sorted(p for p in src.rglob("*") if p.suffix in SUFFIXES)
    return {p.relative_to(src).as_posix(): INCLUDE.findall(p.read_text()) for p in files}


def bad_arrows(includes, floors):
    for file, targets in includes.items():
        room = file.split("/")[0]
        if room not in floors:
            yield f"{file}: {room} is no room of FLOORS"
            continue
        for target in targets:
            other = target.split("/")[0]
            if other not in floors:
                yield f"{file}: includes {target}, and {other} is no room of FLOORS"
            elif target not in includes:
                yield f"{file}: includes {target}, which is not there"
            elif other != room and floors[other] >= floors[room]:
                way = "sideways" if floors[other] == floors[room] else "upward"
                yield f"{file}: includes {target}, {way} from {room} to {other}"


def cycles(includes):
    """One line for each circle of includes that a depth-first walk closes."""
    done = set()

    def walk(file, trail):
        if file in trail:
            yield "circle: " + " -> ".join([*trail[trail.index(file):], file])
        elif file not in done:
            for target in includes.get(file, ()):
                yield from walk(target, [*trail, file])
            done.add(file)

    for file in includes:
        yield from walk(file, [])


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "src"
    src = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    floors = read_floors(src / "FLOORS")
    includes = read_includes(src)
    wrong = [*bad_arrows(includes, floors), *cycles(includes)]
    for line in wrong:
        print(line)
    arrows = {(file.split("/")[0], target.split("/")[0])
              for file, targets in includes.items() for target in targets}
    between = sum(a != b for a, b in arrows)
    print(f"floors: {len(includes)} files, {len(floors)} rooms, {between} arrows between rooms, "
          f"{len(wrong)} wrong")
    return bool(wrong) or not includes


if __name__ == "__main__":
    sys.exit(main())

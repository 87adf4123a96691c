"""A power cut: of what a file system has not been asked to keep, nothing is there afterwards."""

from collections.abc import Iterable
from pathlib import Path

FROM = "from\t"  # begins the lines of a log that are no steps: what a renamed file was called


def cut(home: Path, log: Iterable[str]) -> list[str]:
    """Empty each file that a command has made or replaced, and not flushed since. Return their names.

    A file system may do so. It keeps what was flushed, and what was there before. What a database has written stays: it
    knows by itself what it has flushed.

    Args:
        home: Has the files.
        log: The command's steps, to its last one.
    """
    loose: set[str] = set()
    before = ""
    for line in log:
        what, _, name = line.partition("\t")
        if what == "make":
            loose.add(name)
        elif what == "flush":
            loose.discard(name)
        elif line.startswith(FROM):
            before = name
        elif what == "rename":
            loose = {name + one.removeprefix(before) if f"{one}/".startswith(f"{before}/") else one for one in loose}
    lost = [name for name in sorted(loose) if (home / name).is_file() and ".db" not in Path(name).name]
    for name in lost:
        (home / name).write_bytes(b"")
    return lost

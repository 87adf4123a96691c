"""What may lie in a landing folder beside or instead of a good file: links, folders, pipes, names, numbers, rights."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.corpus.kind import ALL, HARMLESS, Place, place

_USUAL = ("csv.gz", "jsonl", "parquet")  # what lies there is the same for every format

place("no file", _USUAL, "refused missing_file")(lambda _: None)


def renamed(
    name: str, to: Callable[[Place], str], expected: str = "refused misnamed_file", *, alone: bool = False
) -> None:
    """Register a good file that has another name."""
    place(name, _USUAL, expected, alone=alone)(lambda at: at.land(at.good()).rename(at.folder / to(at)))


@place("a folder for a file", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    at.path.mkdir()
    (at.path / "part-0").write_bytes(at.good())


@place("a pipe", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    os.mkfifo(at.path)


@place("a socket", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    here = Path.cwd()
    os.chdir(at.folder)  # a socket's whole path may have about a hundred letters
    try:
        socket.socket(socket.AF_UNIX).bind(at.path.name)
    finally:
        os.chdir(here)


@place("a link to a device without end", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    at.path.symlink_to("/dev/zero")


@place("a link to a file outside", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    at.path.symlink_to("/etc/passwd")


@place("a link to a good file outside", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    other = at.folder.parents[2] / f"outside-{at.day}"
    other.write_bytes(at.good())
    at.path.symlink_to(other)


@place("a link within the zone", _USUAL, HARMLESS)
def _(at: Place) -> None:
    other = at.folder / f".{at.day}"
    other.write_bytes(at.good())
    at.path.symlink_to(other.name)


@place("a link to nothing", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    at.path.symlink_to("nothing")


@place("a link to itself", _USUAL, "refused not_a_file")
def _(at: Place) -> None:
    at.path.symlink_to(at.path.name)


@place("a hard link", _USUAL, HARMLESS)
def _(at: Place) -> None:
    other = at.folder / f".{at.day}"
    other.write_bytes(at.good())
    at.path.hardlink_to(other)


@place("no right to read", _USUAL, "refused unreadable")
def _(at: Place) -> None:
    at.land(at.good()).chmod(0)


@place("the right to write only", _USUAL, "refused unreadable")
def _(at: Place) -> None:
    at.land(at.good()).chmod(0o200)


renamed("an upload that has not ended", lambda at: f"{at.path.name}.part", "refused missing_file")


@place("an upload that has not ended beside the file", _USUAL, HARMLESS)
def _(at: Place) -> None:
    Path(f"{at.land(at.good())}.part").write_bytes(b"x")


@place("a hidden file beside it", _USUAL, HARMLESS)
def _(at: Place) -> None:
    at.land(at.good())
    (at.folder / f".DS_Store-{at.day}").write_bytes(b"\0\1")


renamed("a name in capitals", lambda at: at.path.name.upper())


@place("a name with a space", _USUAL, "refused misnamed_file")
def _(at: Place) -> None:
    at.land(at.good(), " (1)").rename(at.folder / f"{at.day} (1){at.form.suffix}")


renamed("a name without dashes", lambda at: f"{at.day:%Y%m%d}{at.form.suffix}")


@place("a name in digits of another script", _USUAL, "refused", alone=True)
def _(at: Place) -> None:
    other = str(at.day).translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))
    at.land(at.good()).rename(at.folder / f"{other}{at.form.suffix}")


@place("a name that is not UTF-8", _USUAL, "refused misnamed_file")
def _(at: Place) -> None:
    path = at.land(at.good())
    path.rename(at.folder / os.fsdecode(f"{at.day}".encode() + b"\xff\xfe.csv"))


renamed("a name with a line end and codes of the terminal", lambda at: f"{at.day}\n\x1b[2J{at.form.suffix}")

renamed("a file's name that is markup", lambda at: f"{at.day}[red]<b>'\"{at.form.suffix}")

renamed("a name of 250 letters", lambda at: f"{at.day}{'x' * 200}{at.form.suffix}")

renamed("another format's name", lambda at: f"{at.day}.xlsx")

renamed("the name of a day that is none", lambda at: f"2013-02-30{at.form.suffix}", "refused", alone=True)


@place("a second delivery without a number", _USUAL, "refused same_number")
def _(at: Place) -> None:
    at.land(at.good())
    at.land(at.good(), ".1")


@place("a second delivery", _USUAL, HARMLESS)
def _(at: Place) -> None:
    at.land(at.good(-1))
    at.land(at.good(), ".2")


@place("a second delivery that is empty", _USUAL, "refused empty_file")
def _(at: Place) -> None:
    at.land(at.good())
    at.land(b"", ".2")


@place("a second delivery with a number of 400 digits", _USUAL, "refused")
def _(at: Place) -> None:
    at.land(at.good())
    at.land(b"x", f".{'9' * 180}")


@place("a second delivery numbered 0", _USUAL, HARMLESS)
def _(at: Place) -> None:
    at.land(at.good())
    at.land(at.good(-1), ".0")


@place("a right checksum beside it", _USUAL, HARMLESS)
def _(at: Place) -> None:
    path = at.land(at.good())
    Path(f"{path}.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


@place("a wrong checksum beside it", _USUAL, "refused other_checksum")
def _(at: Place) -> None:
    Path(f"{at.land(at.good())}.sha256").write_text("0" * 64)


@place("an empty checksum beside it", _USUAL, "refused other_checksum")
def _(at: Place) -> None:
    Path(f"{at.land(at.good())}.md5").write_text("")


@place("a checksum of many bytes beside it", _USUAL, "refused")
def _(at: Place) -> None:
    Path(f"{at.land(at.good())}.sha256").write_bytes(bytes(10_000))


@place("a folder beside it", _USUAL, "refused misnamed_file")
def _(at: Place) -> None:
    at.land(at.good())
    (at.folder / f"{at.day}-old").mkdir()


@place("a folder of the table in it", _USUAL, "refused misnamed_file")
def _(at: Place) -> None:
    inner = at.folder / f"{at.day} copy"
    inner.mkdir()
    (inner / at.land(at.good()).name).write_bytes(at.good())


@place("a good file", ALL, HARMLESS)
def _(at: Place) -> None:
    at.rows = len(at.good_rows())
    at.land(at.good())

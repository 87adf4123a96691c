"""Texts of a person in files for people: find them, and write over them in place.

A file keeps its length, and a process that appends to it loses nothing. Which files there are does not belong here.
"""

import html
import json
import mmap
import re
from collections.abc import Iterable, Iterator

from upath import UPath

from contrail.files import is_local, write_whole

_LONG, _LONG_NUMBER = 4, 6  # shorter ones mean many things; they count only beside their column's name
_END = rb"(?![0-9A-Za-z_])"
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
Content = bytes | bytearray | mmap.mmap


def pattern_of(texts: Iterable[tuple[str, str]]) -> re.Pattern[bytes] | None:
    """Make a pattern of columns and their values; None of none.

    A value counts wherever it stands as a word. A short one counts after its column's name: ``age=42``, ``"age": 42``.
    """
    alone: set[bytes] = set()
    named: dict[str, set[bytes]] = {}
    for column, value in texts:
        (alone if is_long(value) else named.setdefault(column, set())).update(_forms(value))
    parts = [rb"(" + _any(alone) + rb")" + _END] if alone else []
    for column, values in named.items():
        parts.append(re.escape(column.encode()) + rb"[\"']?\s{0,2}[:=]\s{0,2}[\"']?(" + _any(values) + rb")" + _END)
    return re.compile(rb"|".join(parts)) if parts else None


def is_long(value: str) -> bool:
    """Say whether a value is long enough to mean the person wherever it stands."""
    return len(value) >= (_LONG_NUMBER if value.isdigit() else _LONG)


def _any(values: Iterable[bytes]) -> bytes:
    return rb"|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))


def _forms(value: str) -> Iterator[bytes]:
    """A value as text, HTML and JSON have it."""
    for text in {value, html.escape(value), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}:
        if text:
            yield text.encode()


def spans(content: Content, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Yield where the texts begin and end."""
    # A pattern that began with the question for a word's begin would be slow: it could not look for letters first.
    for found in pattern.finditer(content):
        start = found.start()
        # JSON writes a line break before a word as a backslash and a letter.
        if (
            not start
            or content[start - 1] not in _WORD
            or content[max(start - 2, 0) : start] in (b"\\n", b"\\r", b"\\t")
        ):
            yield found.span(found.lastindex or 0)


def count(path: UPath, pattern: re.Pattern[bytes]) -> int:
    """Count the texts in a file."""
    if not is_local(path):
        return sum(1 for _ in spans(path.read_bytes(), pattern))
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return sum(1 for _ in spans(content, pattern))


def write_over(path: UPath, pattern: re.Pattern[bytes]) -> None:
    """Put asterisks in the place of each text, and nines in that of a number, which JSON may hold."""
    if not is_local(path):
        content = bytearray(path.read_bytes())
        _mask(content, pattern)
        write_whole(path, bytes(content))
        return
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE) as mapped:
        _mask(mapped, pattern)
        mapped.flush()


def _mask(content: bytearray | mmap.mmap, pattern: re.Pattern[bytes]) -> None:
    for start, end in list(spans(content, pattern)):
        content[start:end] = (b"9" if bytes(content[start:end]).isdigit() else b"*") * (end - start)

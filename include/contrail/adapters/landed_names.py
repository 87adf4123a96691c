"""The names in a table's landing folder: files to read, names to ignore, and names that are wrong.

A daily table expects ``<YYYY-MM-DD>.csv.gz``, a reference table ``reference.csv.gz``, and both a number for a later
delivery, as ``<YYYY-MM-DD>.2.csv.gz``. This module opens no file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from contrail.adapters.landing import REFERENCE

MISNAMED, SAME_NUMBER = "misnamed_file", "same_number"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_NAME = re.compile(rf"(?P<stem>{REFERENCE}|{_DAY})(?:\.(?P<revision>[0-9]{{1,9}}))?\.csv\.gz")
_SIDECAR = re.compile(r"(?P<file>.+\.csv\.gz)\.(?P<method>sha256|md5)")
_UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", "~")
# Four digits, two and two, with or without anything between them. No other digit touches them.
_MEANT = re.compile(r"(?<![0-9])([0-9]{4})[-_. ]?([0-9]{1,2})[-_. ]?([0-9]{1,2})(?![0-9])")
_PLAIN = re.compile(r"\.(csv|txt|tsv)(?! *\.gz)", re.IGNORECASE)


@dataclass(frozen=True)
class Stray:
    """A name that no file of the table has. ``day`` is the day that it seems to mean; None when it names none."""

    name: str
    rule: str
    detail: str
    day: date | None = None


@dataclass(frozen=True)
class Names:
    """What a folder's names say.

    Attributes:
        files: The name to read for each stem, a day or ``reference``: the highest number.
        sidecars: Names of checksum files, by the name of their file.
        strays: Names that no file of the table has, and two names of the same day and number.
        unfinished: Names of uploads that have not ended.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    sidecars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strays: Sequence[Stray] = ()
    unfinished: Sequence[str] = ()


def read_names(names: Iterable[str], daily: bool) -> Names:
    """Sort the names of a folder; the order in which they come never matters.

    Ignored are names that begin with ``.`` or ``_``, and unfinished uploads, which end as an upload's temporary name.
    """
    shown = sorted({name for name in names if name and not name.startswith((".", "_"))})
    unfinished = [name for name in shown if name.casefold().endswith(_UNFINISHED)]
    found: dict[str, dict[int, list[str]]] = {}
    sidecars: dict[str, list[str]] = {}
    other: list[str] = []
    for name in shown:
        if name in unfinished:
            continue
        if (sidecar := _SIDECAR.fullmatch(name)) and _key(sidecar["file"], daily):
            sidecars.setdefault(sidecar["file"], []).append(name)
        elif key := _key(name, daily):
            found.setdefault(key[0], {}).setdefault(key[1], []).append(name)
        else:
            other.append(name)
    newest = {stem: revisions[max(revisions)] for stem, revisions in found.items()}
    strays = [_misnamed(name, found, daily) for name in other]
    strays += [_twice(stem, own) for stem, own in sorted(newest.items()) if len(own) > 1]
    files = {stem: own[0] for stem, own in newest.items() if len(own) == 1}
    return Names(files, sidecars, strays, unfinished)


def _key(name: str, daily: bool) -> tuple[str, int] | None:
    """The stem and the number that a right name has; None for another name."""
    match = _NAME.fullmatch(name)
    if not match or (match["stem"] != REFERENCE) != daily or (daily and _day(match["stem"]) is None):
        return None
    return match["stem"], int(match["revision"] or 1)


def _day(text: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text)
    return None


def _misnamed(name: str, found: Mapping[str, Mapping[int, Sequence[str]]], daily: bool) -> Stray:
    day = _meant(name) if daily else None
    stem = str(day) if day else "<YYYY-MM-DD>" if daily else REFERENCE
    taken = found.get(stem)
    right = f"{stem}.{max(*taken, 1) + 1}.csv.gz" if taken else f"{stem}.csv.gz"
    plain = "compress it with gzip and name it" if _PLAIN.search(name) else "if it is a file of the table, name it"
    ask = f"{plain} {right}; else move it away"
    why = "no file of this table has this name"
    if daily and day is None and (match := _NAME.fullmatch(name)) and match["stem"] != REFERENCE:
        why = f"{match['stem']} is no day"
    return Stray(name, MISNAMED, f"'{name[:80]}': {why}; {ask}", day)


def _meant(name: str) -> date | None:
    days = {_day(f"{year}-{month:0>2}-{day:0>2}") for year, month, day in _MEANT.findall(name)}
    return days.pop() if len(days) == 1 else None


def _twice(stem: str, names: Sequence[str]) -> Stray:
    listed = " and ".join(f"'{name}'" for name in names)
    detail = f"{listed} have the same number, so that neither is newer; keep one, or give one a higher number"
    return Stray(names[0], SAME_NUMBER, detail, _day(stem))

"""The names in a table's landing folder: files to read, names to ignore, and names that are wrong.

What the files of a table are called is in ``config.file_names``. By default a daily table expects
``<YYYY-MM-DD>.csv.gz``, a reference table ``reference.csv.gz``, and both a number for a later delivery, as
``<YYYY-MM-DD>.2.csv.gz``. This module opens no file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from contrail.config.file_names import REFERENCE, FileNames

MISNAMED, SAME_NUMBER = "misnamed_file", "same_number"
_SIDECAR = re.compile(r"(?P<file>.+)\.(?P<method>sha256|md5)")
_UNFINISHED = re.compile(r"(\.tmp|\.part|\.partial|\.filepart|\.crdownload|~)+\Z", re.IGNORECASE)
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
        files: The names to read for each stem, a day or ``reference``: those of the highest number, sorted.
        sidecars: Names of checksum files, by the name of their file.
        strays: Names that no file of the table has, and two names of the same day and number.
        unfinished: Names of uploads that have not ended.
        waiting: For each stem with a newer delivery that is not complete: what it waits for.
    """

    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sidecars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strays: Sequence[Stray] = ()
    unfinished: Sequence[str] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Delivery:
    """The files of one day and number, by the number as it is written."""

    files: dict[str, list[str]] = field(default_factory=dict)
    waits_for: str = ""


def read_names(names: Iterable[str], layout: FileNames) -> Names:
    """Sort the names of a folder, each with its own folder's before a slash; their order never matters.

    Ignored are names that begin with ``.`` or ``_``, and unfinished uploads, which end as an upload's temporary name.
    """
    given = sorted({name for name in names if name})
    shown = [name for name in given if not any(part.startswith((".", "_")) for part in name.split("/"))]
    marked = {(own.stem, own.number) for own in map(layout.read_marker, given) if own}
    unfinished = [name for name in shown if _UNFINISHED.search(name)]
    found: dict[str, dict[int, _Delivery]] = {}
    sidecars: dict[str, list[str]] = {}
    other: list[str] = []
    for name in shown:
        if name in unfinished or layout.read_marker(name):
            continue
        if (sidecar := _SIDECAR.fullmatch(name)) and layout.read(sidecar["file"]):
            sidecars.setdefault(sidecar["file"], []).append(name)
        elif key := layout.read(name):
            delivery = found.setdefault(key.stem, {}).setdefault(key.number, _Delivery())
            delivery.files.setdefault(key.written, []).append(name)
        else:
            other.append(name)
    _mark_incomplete(found, marked, unfinished, layout)
    return _sorted(found, sidecars, unfinished, [_misnamed(name, found, layout) for name in other])


def _mark_incomplete(
    found: Mapping[str, Mapping[int, _Delivery]],
    marked: set[tuple[str, int]],
    unfinished: Iterable[str],
    layout: FileNames,
) -> None:
    """Note what a delivery waits for: its marker, or of several files one that is not whole."""
    uploads: dict[tuple[str, int], str] = {}
    for name in unfinished if layout.several and not layout.marker else ():
        if key := layout.read(_UNFINISHED.sub("", name)):
            uploads[key.stem, key.number] = name
    for stem, deliveries in found.items():
        for number, own in deliveries.items():
            if layout.marker and (stem, number) not in marked:
                own.waits_for = layout.written_marker(stem, number)
            own.waits_for = own.waits_for or uploads.get((stem, number), "")


def _sorted(
    found: Mapping[str, Mapping[int, _Delivery]],
    sidecars: Mapping[str, Sequence[str]],
    unfinished: Sequence[str],
    strays: list[Stray],
) -> Names:
    files, waiting = {}, {}
    for stem, deliveries in sorted(found.items()):
        whole = [number for number, own in deliveries.items() if not own.waits_for]
        if max(deliveries) not in whole:
            waiting[stem] = deliveries[max(deliveries)].waits_for
        if not whole:
            continue
        newest = deliveries[max(whole)].files
        names = tuple(sorted(name for own in newest.values() for name in own))
        if len(newest) > 1:
            strays.append(_twice(stem, names))
        else:
            files[stem] = names
    return Names(files, sidecars, strays, unfinished, waiting)


def _day(text: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text)
    return None


def _misnamed(name: str, found: Mapping[str, Mapping[int, object]], layout: FileNames) -> Stray:
    own = layout.read_folder(name.partition("/")[0])
    day = (_day(own.stem) if own else _meant(name)) if layout.daily else None
    stem = str(day) if day else "" if layout.daily else REFERENCE
    taken = found.get(stem)
    right = layout.written(stem, max(*taken, 1) + 1 if taken and not own else own.number if own else 1)
    asks = layout.compression == "gz" and not layout.several and _PLAIN.search(name)
    plain = "compress it with gzip and name it" if asks else "if it is a file of the table, name it"
    ask = f"{plain} {right}; else move it away"
    why = "no file of this table has this name"
    if day is None and (wrong := layout.is_near(name)):
        why = f"{wrong} is no day"
    return Stray(name, MISNAMED, f"'{name[:80]}': {why}; {ask}", day)


def _meant(name: str) -> date | None:
    days = {_day(f"{year}-{month:0>2}-{day:0>2}") for year, month, day in _MEANT.findall(name)}
    return days.pop() if len(days) == 1 else None


def _twice(stem: str, names: Sequence[str]) -> Stray:
    listed = " and ".join(f"'{name}'" for name in names[:2])
    detail = f"{listed} have the same number, so that neither is newer; keep one, or give one a higher number"
    return Stray(names[0], SAME_NUMBER, detail, _day(stem))


def unfinished_of(stem: str, names: Names, layout: FileNames) -> str | None:
    """Name an upload of a delivery that has not ended, if there is one."""
    return next((n for n in names.unfinished if _stem(_UNFINISHED.sub("", n), layout) == stem), None)


def _stem(name: str, layout: FileNames) -> str | None:
    found = layout.read(name)
    return found.stem if found else None

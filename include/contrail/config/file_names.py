"""What the landed files of a table are called: a pattern, read from names and written for a day.

``{date}`` stands for a day, and ``*`` for any part of a name. A number after the day, as in ``2024-02-20.2``, counts the
deliveries of that day. This module opens no file.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

Format = Literal["csv", "jsonl", "parquet"]
Compression = Literal["gz", "zst"] | None

REFERENCE = "reference"
DATE = "%Y-%m-%d"
_SUFFIX = re.compile(r"\.(?:(?P<text>csv|jsonl|ndjson|parquet))?(?:\.?(?P<packed>gz|zst))?$")
_PLACES = re.compile(r"\{(?P<name>\w*)(?::(?P<form>[^{}]*))?\}|(?P<star>\*+)")
_DIRECTIVES = {"%Y": ("year", "[0-9]{4}", "YYYY"), "%m": ("month", "[0-9]{2}", "MM"), "%d": ("day", "[0-9]{2}", "DD")}
_DIRECTIVE = re.compile(r"%.?")
_NUMBER = r"(?:\.(?P<number>[0-9]{1,9}))?"


class Named(NamedTuple):
    """What a right name says: the day or ``reference``, the number of the delivery, and the number as it is written."""

    stem: str
    number: int
    written: str


def format_of(name: str) -> Format | None:
    """The format that the end of a name tells."""
    found = re.search(r"\.(csv|jsonl|ndjson|parquet)(\.gz|\.zst)?$", name)
    kinds: dict[str, Format] = {"csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}
    return kinds[found[1]] if found else None


def compression_of(name: str) -> Compression:
    """The compression that the end of a name tells."""
    return "gz" if name.endswith(".gz") else "zst" if name.endswith(".zst") else None


@dataclass(frozen=True)
class FileNames:
    """The names of a table's files, below its folder.

    Attributes:
        pattern: As the spec has it, in at most one folder.
        daily: Whether each day has files of its own.
        marker: Pattern of the file that says that a delivery is complete. None: what is there is the delivery.
    """

    pattern: str
    daily: bool
    marker: str | None = None

    @property
    def folder(self) -> str:
        """The pattern of the folder; empty where files lie in the table's folder."""
        return self.pattern.rpartition("/")[0]

    @property
    def several(self) -> bool:
        """Whether a delivery may have more than one file."""
        return "*" in self.pattern

    @property
    def compression(self) -> Compression:
        """How the files are compressed."""
        return compression_of(self.pattern)

    @property
    def suffix(self) -> str:
        """The end of each name, from the format on, such as ``.csv.gz``."""
        found = re.search(r"(\.[A-Za-z0-9]+)?(\.gz|\.zst)?$", self.pattern)
        return found[0] if found else ""

    def read(self, name: str) -> Named | None:
        """What a name says; None for a name that no file of the table has."""
        return self._named(self._files.fullmatch(name))

    def read_marker(self, name: str) -> Named | None:
        """The delivery whose end a name marks, if it is a marker."""
        return self._named(self._markers.fullmatch(name)) if self._markers else None

    def read_folder(self, name: str) -> Named | None:
        """The delivery whose folder has this name, if files lie in folders of their own."""
        return self._named(self._folders.fullmatch(name)) if self._folders else None

    def is_near(self, name: str) -> str | None:
        """The day as it is written in a name that has the right form, but no day that exists."""
        found = self._files.fullmatch(name)
        return found["date"] if found and self.daily and self._named(found) is None else None

    def written(self, stem: str = "", number: int = 1) -> str:
        """The name of a delivery's file. ``stem`` is a day or ``reference``; without one the name shows the form."""
        return self._written(self.pattern, stem, number)

    def written_marker(self, stem: str, number: int = 1) -> str:
        """The name of a delivery's marker."""
        return self._written(self.marker or "", stem, number)

    def _written(self, pattern: str, stem: str, number: int) -> str:
        counted = f".{number}" if number > 1 else ""
        if self.daily:
            return _PLACES.sub(lambda place: _day(place, stem) + counted if place["name"] else place[0], pattern)
        if self.several or not counted:
            return pattern
        return f"{pattern.removesuffix(self.suffix)}{counted}{self.suffix}"

    def _named(self, found: re.Match[str] | None) -> Named | None:
        if found is None:
            return None
        groups = found.groupdict()
        written = groups.get("number") or ""
        if not self.daily:
            return Named(REFERENCE, int(written or 1), written)
        with suppress(ValueError):
            day = date(int(groups["year"]), int(groups["month"]), int(groups["day"]))
            return Named(str(day), int(written or 1), written)
        return None

    @cached_property
    def _files(self) -> re.Pattern[str]:
        return self._compiled(self.pattern, numbered=True)

    @cached_property
    def _markers(self) -> re.Pattern[str] | None:
        return self._compiled(self.marker, numbered=False) if self.marker else None

    @cached_property
    def _folders(self) -> re.Pattern[str] | None:
        return self._compiled(self.folder, numbered=False) if self.folder else None

    def _compiled(self, pattern: str, *, numbered: bool) -> re.Pattern[str]:
        if self.daily or self.several or not numbered:
            return re.compile("".join(_expressions(pattern)))
        stem = re.escape(pattern.removesuffix(self.suffix))
        return re.compile(f"{stem}{_NUMBER}{re.escape(self.suffix)}")


@lru_cache(maxsize=256)
def file_names(pattern: str, daily: bool, marker: str | None) -> FileNames:
    """The names that a pattern means."""
    return FileNames(pattern, daily, marker)


def _expressions(pattern: str) -> Iterator[str]:
    at = 0
    for place in _PLACES.finditer(pattern):
        yield re.escape(pattern[at : place.start()])
        yield "[^/]*" if place["star"] else f"(?P<date>{_of_date(place['form'] or DATE)}){_NUMBER}"
        at = place.end()
    yield re.escape(pattern[at:])


def _of_date(form: str) -> str:
    at, parts = 0, []
    for found in _DIRECTIVE.finditer(form):
        name, digits, _ = _DIRECTIVES[found[0]]
        parts += [re.escape(form[at : found.start()]), f"(?P<{name}>{digits})"]
        at = found.end()
    return "".join([*parts, re.escape(form[at:])])


def _day(place: re.Match[str], stem: str) -> str:
    form = place["form"] or DATE
    if stem:
        return date.fromisoformat(stem).strftime(form)
    return f"<{_DIRECTIVE.sub(lambda found: _DIRECTIVES[found[0]][2], form)}>"


def pattern_problem(pattern: str, *, daily: bool, marker: bool = False) -> str | None:
    """What is wrong with a pattern; None when nothing is."""
    folder, _, name = pattern.rpartition("/")
    places = list(_PLACES.finditer(pattern))
    dates = [place for place in places if not place["star"]]
    if said := next((said for place in dates if (said := _form_problem(place["form"]))), None):
        return said
    if "/" in folder or pattern.startswith("/") or not name or "\\" in pattern:
        return "name a file in the table's folder, or in one folder below it, as {date}/part-*.parquet"
    if not marker and any(part.startswith((".", "_")) for part in (folder, name)):
        return "names that begin with . or _ are never read; choose others"
    if wrong := next((place for place in dates if place["name"] != "date"), None):
        return f"{wrong[0]} stands for nothing; use {{date}}, or {{date:%Y%m%d}} for another form"
    if re.search(r"[{}]", _PLACES.sub("", pattern)):
        return "a brace is not closed; use {date}, or {date:%Y%m%d} for another form"
    if len(dates) != daily:
        return "use {date} once" if daily else "a reference table has no days, so its names have no {date}"
    if "*" in folder or (marker and "*" in pattern):
        return "* may stand only in the name of a file, not in that of a folder or of a marker"
    if re.search(r"\}\*|\*\{|\*\*", pattern):
        return "put something between {date} and *, as {date}-*"
    return None


def _form_problem(form: str | None) -> str | None:
    if form is None or sorted(_DIRECTIVE.findall(form)) == sorted(_DIRECTIVES):
        return "a day's form has no / in it" if form and "/" in form else None
    return f"{{date:{form}}} must have %Y, %m and %d once each, and nothing else with %"

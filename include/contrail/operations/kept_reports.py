"""The reports that stages keep for people, to be listed and read one by one.

Only files below the folder of a pipeline's reports are read, whatever a name says. Writing them belongs to the stages.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal, get_args

from upath import UPath

from contrail.config.settings import Settings
from contrail.errors import MissingInputError
from contrail.files import is_local
from contrail.frozen import Frozen

Kind = Literal["data_docs", "drift", "decisions", "backfills", "tuning"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+ -]*")
_DAY = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d|T)")
_LARGEST = 64 << 20  # a page of a report has some megabytes


class Report(Frozen):
    """A page. ``first`` and ``last`` are the days in its name; ``path`` is its name below the kind's folder."""

    kind: Kind
    path: str
    at: datetime
    first: date | None
    last: date | None


@dataclass(frozen=True)
class ReadReport:
    """The bytes of a file of a report, and its media type."""

    content: bytes
    media_type: str


def kept_reports(settings: Settings, pipeline: str) -> list[Report]:
    """List the pages of a pipeline's reports, the newest of each kind first."""
    found = [report for kind in KINDS for report in _pages(settings.reports / pipeline / kind, kind)]
    return sorted(found, key=lambda one: (KINDS.index(one.kind), -one.at.timestamp()))


def read_report(settings: Settings, pipeline: str, kind: str, path: str) -> ReadReport:
    """Read a file of a report.

    Raises:
        MissingInputError: when there is no such file, or the name leads elsewhere. It does not say which.
    """
    parts, suffix = path.split("/"), Path(path).suffix
    if all(map(_PART.fullmatch, parts)) and suffix in _TYPES and kind in KINDS:
        folder = settings.reports / pipeline / kind
        file = folder.joinpath(*parts)
        if file.is_file() and _within(file, folder) and file.stat().st_size <= _LARGEST:
            return ReadReport(file.read_bytes(), _TYPES[suffix])
    raise MissingInputError(f"{pipeline} keeps no report {kind}/{path}.")


def _within(file: UPath, folder: UPath) -> bool:
    """Whether a file lies in a folder, also when links are followed. An object store has no links."""
    if not is_local(folder):
        return True
    return Path(file.path).resolve().is_relative_to(Path(folder.path).resolve())


def _pages(folder: UPath, kind: Kind) -> Iterator[Report]:
    for page in folder.glob("*.html") if folder.exists() else ():
        days = list(_days(page.stem))
        made = datetime.fromtimestamp(page.stat().st_mtime, UTC)
        yield Report(kind=kind, path=page.name, at=made, first=min(days, default=None), last=max(days, default=None))


def _days(name: str) -> Iterator[date]:
    for text in _DAY.findall(name):
        with suppress(ValueError):  # a person may name a run as they like
            yield date.fromisoformat(text)

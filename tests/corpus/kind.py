"""A kind of bad file: how it is made of a good one, in which formats, and what must become of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from tests.corpus.flights import COLUMNS, Rows, file_of, rows_of
from tests.corpus.forms import FORMS, Form, pack, render

REFUSED, QUARANTINED, HARMLESS = "refused", "quarantined", "harmless"
CSV = tuple(name for name in FORMS if name.startswith("csv"))
JSONL = tuple(name for name in FORMS if name.startswith("jsonl"))
GZ, ZST = (tuple(name for name in FORMS if name.endswith(end)) for end in (".gz", ".zst"))
PLAIN = ("csv", "jsonl")
TEXT = (*CSV, *JSONL)
PARQUET = ("parquet",)
PACKED = (*GZ, *ZST)
ALL = tuple(FORMS)


@dataclass
class Place:
    """Where a day of flights lands, before anything of it has landed.

    ``rows`` counts the rows of what landed, where the kind knows it.
    """

    folder: Path
    day: date
    form: Form
    rows: int | None = None

    @property
    def path(self) -> Path:
        """The day's usual file."""
        return self.named("")

    def named(self, extra: str) -> Path:
        """A file named as the day's usual one, with something before the end of its name."""
        return self.folder / f"{self.day}{extra}{self.form.suffix}"

    def good_rows(self, days: int = 0) -> Rows:
        """The good rows of the day, or of one so many days later."""
        return rows_of(self.day + timedelta(days))

    def good(self, days: int = 0) -> bytes:
        """The good file of the day, or of one so many days later."""
        return file_of(self.good_rows(days), self.form)

    def text(self) -> bytes:
        """The text of the good file, unpacked."""
        return render(self.good_rows(), [*COLUMNS], self.form)

    def land(self, content: bytes, extra: str = "") -> Path:
        """Write a file."""
        path = self.named(extra)
        path.write_bytes(content)
        return path

    def land_text(self, text: bytes) -> None:
        """Pack a text, and write it."""
        self.land(pack(text, self.form.packing))


@dataclass(frozen=True)
class Kind:
    """A kind of bad file.

    Attributes:
        name: Names it in reports.
        forms: The names of the formats that it is made in.
        make: Lands it.
        expected: What must become of it, with the rule that is told: by the beginning of a format's name.
        dear: Whether it takes much time or memory.
        alone: Whether it names no day, so that it belongs to every run.
    """

    name: str
    forms: tuple[str, ...]
    make: Callable[[Place], None]
    expected: Mapping[str, str]
    dear: bool = False
    alone: bool = False

    def expects(self, form: Form) -> str:
        """What must become of it in a format: ``refused <rule>``, ``quarantined <rule>`` or ``harmless``."""
        fitting = [start for start in self.expected if str(form).startswith(start)]
        return self.expected[max(fitting, key=len)]


KINDS: dict[str, Kind] = {}
Expected = str | Mapping[str, str]


def place(
    name: str, forms: Iterable[str], expected: Expected, *, dear: bool = False, alone: bool = False
) -> Callable[..., None]:
    """Register a kind by a function that lands it."""

    def register(make: Callable[[Place], None]) -> None:
        assert name not in KINDS, name
        wanted = {"": expected} if isinstance(expected, str) else expected
        KINDS[name] = Kind(name, tuple(forms), make, wanted, dear, alone)

    return register


def packed(name: str, forms: Iterable[str], expected: Expected, *, dear: bool = False) -> Callable[..., None]:
    """Register a kind by a function from the bytes of a good file to those of a bad one."""

    def register(change: Callable[[bytes], bytes]) -> None:
        place(name, forms, expected, dear=dear)(lambda at: at.land(change(at.good())))

    return register


def text(name: str, forms: Iterable[str], expected: Expected, *, dear: bool = False) -> Callable[..., None]:
    """Register a kind by a function from the text of a good file, before it is packed, to that of a bad one."""

    def register(change: Callable[[bytes], bytes]) -> None:
        place(name, forms, expected, dear=dear)(lambda at: at.land_text(change(at.text())))

    return register


def rows(name: str, expected: Expected, forms: Iterable[str] = ALL, *, dear: bool = False) -> Callable[..., None]:
    """Register a kind by a function from the good rows to bad ones. Their first row says which columns the file has."""

    def register(change: Callable[[Rows], Rows]) -> None:
        def make(at: Place) -> None:
            changed = change(at.good_rows())
            at.rows = len(changed)
            at.land_text(render(changed, list(changed[0]), at.form))

        place(name, forms, expected, dear=dear)(make)

    return register


def value(name: str, column: str, bad: object, expected: Expected, forms: Iterable[str] = ALL) -> None:
    """Register a kind with one bad value in one row."""

    def change(given: Rows) -> Rows:
        given[6][column] = bad
        return given

    rows(name, expected, forms)(change)


def values(
    name: str, column: str, bad: Callable[[object], object], expected: Expected, forms: Iterable[str] = ALL
) -> None:
    """Register a kind in which a column has bad values in all rows."""

    def change(given: Rows) -> Rows:
        for row in given:
            row[column] = bad(row[column])
        return given

    rows(name, expected, forms)(change)

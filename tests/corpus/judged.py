"""What became of days that landed: of the lake's tables, and of what the commands said."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from tests.corpus.flights import COLUMNS, TABLE, Rows
from tests.corpus.forms import Form
from tests.corpus.kind import HARMLESS, QUARANTINED, REFUSED, Kind

# The exit codes that the documentation knows: done, a wrong spec, data refused, the machine or others were in the way.
KNOWN = frozenset({0, 2, 3, 4, 5, 75})
_SIGNS = ("Traceback (most recent call last)", "did not expect this", "Segmentation", "Fatal Python error")


@dataclass
class Found:
    """What became of a day. ``wrong`` lists what must never be."""

    outcome: str
    rules: tuple[str, ...] = ()
    told: str = ""
    rows: int = 0
    set_aside: int = 0
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def wrongs_of(said: str, codes: Mapping[str, int | None], errors: Path) -> Iterator[str]:
    """What commands must never do: end by an unknown code, by a traceback, or by what Contrail did not expect."""
    for name, code in codes.items():
        if code not in KNOWN:
            yield f"{name} ended with {code}"
    for sign in _SIGNS:
        if sign in said:
            yield f"the commands said: {sign}: {said[max(said.find(sign) - 300, 0) :][:600]}"
    for path in errors.glob("*"):
        yield f"a trace was kept: {path.read_text()[-400:]}"
    if any(mark in said for mark in ("\x1b[2J", "\x1b]0;")):
        yield "codes of the terminal came out of the data"


def unexpected(kind: Kind, form: Form, found: Found) -> Iterator[str]:
    """Say where a kind ended otherwise than its table says."""
    outcome, *rules = kind.expects(form).split()
    if found.outcome != outcome or not set(rules) <= set(found.rules):
        got = " ".join([found.outcome, *found.rules])
        yield f"expected: {kind.expects(form)}; found: {got}: {found.told[:200]}"


class Seen:
    """The tables of a home, for the days that are asked about."""

    def __init__(self, lake: Lake, days: Partitions) -> None:
        self._validated = _rows(lake, f"validated_{TABLE}", days, [*COLUMNS])
        self._bad = _of_table(_rows(lake, "quarantine", days))
        self._refused = _of_table(_rows(lake, "refusals", days))

    def judge(self, day: date, good: Rows, landed: int | None) -> Found:
        """Say what became of the flights of a day.

        Args:
            day: The day.
            good: The rows of its good file.
            landed: How many rows its bad file had, if that is known.
        """
        own = [row for row in self._validated if row["partition_date"] == day]
        bad = [row for row in self._bad if row["partition_date"] == day]
        refused = [row for row in self._refused if row["partition_date"] == day]
        wrong, known = [], Counter(map(_key, good))
        foreign = Counter(_key(row) for row in own) - known
        if foreign:
            wrong.append(f"{foreign.total()} rows that no good file has are published, as {next(iter(foreign))}")
        if refused:
            outcome, rules = REFUSED, tuple(dict.fromkeys(row["rule"] for row in refused))
            told = str(refused[0]["detail"])
            if own and len(own) != len(good):
                wrong.append(f"the day is refused, and {len(own)} of its rows are published")
        elif bad:
            outcome, rules, told = QUARANTINED, tuple(dict.fromkeys(row["rule"] for row in bad)), str(bad[0]["detail"])
            if landed is not None and len(own) + len(bad) != landed:
                wrong.append(f"of {landed} rows {len(own)} are published, and {len(bad)} set aside")
        else:
            outcome, rules, told = HARMLESS, (), ""
            if len(own) != len(good):
                wrong.append(f"{len(own)} of {len(good)} rows are published, and nothing was said")
        return Found(outcome, rules, told, len(own), len(bad), wrong)


def _of_table(rows: Rows) -> Rows:
    return [row for row in rows if row["table_name"] == TABLE]


def _rows(lake: Lake, table: str, days: Partitions, columns: Collection[str] | None = None) -> Rows:
    if not lake.exists(table):
        return []
    named: Sequence[str] | None = ["partition_date", *columns] if columns else None
    return list(lake.scan(table, days, named).to_pylist())


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in COLUMNS)

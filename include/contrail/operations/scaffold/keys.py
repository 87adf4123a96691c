"""Whether the rows of a sample are planned or events, and what tells them apart."""

from collections.abc import Sequence
from itertools import combinations

from contrail.adapters.sample_files import SampleColumn
from contrail.config.names import listed
from contrail.errors import DataError, SpecError
from contrail.operations.scaffold import words
from contrail.operations.scaffold.choices import Choice, Rows
from contrail.operations.scaffold.looked import Looked, local

_MOST_EMPTY = 0.02  # share of rows without a value in the key, which go to quarantine
_DENSE = 0.5  # share of the days and groups that have a row, from which on rows are planned
_ALIKE = 0.01  # share of rows that may share a key
_RECURS = 7  # a group has so many rows in the mean, or it is none
_MOST_IN_KEY, _MOST_TRIED = 2, 8
_MOST_TIMES = 96  # a day has on a grid of times, one in each quarter of an hour


def rows_and_key(
    looked: Looked, label: SampleColumn, time: SampleColumn, known_at: SampleColumn | None
) -> tuple[Rows, str, tuple[str, ...], bool]:
    """Whether rows are planned, their clock, the columns of their key beside the time, and whether the time is in it.

    Raises:
        DataError: Nothing tells rows apart.
        SpecError: The key that was named does not.
    """
    out = {label.name, time.name, *([known_at.name] if known_at else [])}
    clock = _clock(looked, time)
    grid = _grid(looked, time, out) if clock is not None else None
    ident = _ident(looked, out)
    planned = grid is not None and _density(looked, time, grid) >= _DENSE and not (ident and known_at)
    guess: Rows = "planned" if planned else "events"
    why = (
        "nearly every day has a row of each group, as a plan has"
        if planned
        else "rows come when they come, so each is predicted at the midnight after it"
    )
    taken = looked.choices.settle(
        "Are rows planned (expected before their day begins) or events (there only once they happen)?",
        Choice("rows", guess, why, ("events" if planned else "planned",)),
        looked.options.rows,
        ("planned", "events"),
    )
    rows: Rows = "planned" if taken == "planned" else "events"
    if looked.options.key:
        key = tuple(looked.named("--key", name).name for name in looked.options.key)
        looked.choices.made.append(Choice("key", ", ".join(looked.options.key), "you said so"))
        by_time = rows == "planned" or time.name in key
        if not _apart(looked, [*([time.name] if by_time else []), *(name for name in key if name != time.name)]):
            raise SpecError(f"--key {', '.join(key)}: several rows share it; name more columns")
        dims = tuple(name for name in key if name != time.name)
    else:
        dims, by_time = _key(looked, time, rows, ident, grid if grid is not None else _grid(looked, time, out))
    return rows, (clock or "minute") if rows == "planned" and time.type == "timestamp" else "", dims, by_time


def _key(
    looked: Looked, time: SampleColumn, rows: Rows, ident: str | None, grid: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    if rows == "events" and ident:
        looked.choices.made.append(Choice("key", looked.sample.column(ident).given, "it differs in every row"))
        return (ident,), False
    if grid is None:
        raise DataError(
            f"{looked.sample.name}: no column, and no {_MOST_IN_KEY} columns with {time.given}, tell all rows apart. Nothing was "
            "written. Name those that do with --key, or give each row a number"
        )
    shown = ", ".join([time.given, *(looked.sample.column(name).given for name in grid)])
    looked.choices.made.append(Choice("key", shown, "together they differ in every row"))
    return grid, True


def _clock(looked: Looked, time: SampleColumn) -> str | None:
    """``hour`` or ``minute`` for times that lie on a grid of whole minutes, of which a day has few; empty for dates."""
    if time.type == "date":
        return ""
    own = local(time)
    distinct, odd, uneven = looked.one(
        f"count(DISTINCT {own}::TIME), count(*) FILTER (second({own}) <> 0), count(*) FILTER (minute({own}) <> 0)"
    )
    if odd or int(str(distinct)) > _MOST_TIMES:
        return None
    return "minute" if uneven else "hour"


def _ident(looked: Looked, out: set[str]) -> str | None:
    """A column that differs in every row."""
    found = [
        column.name
        for column in looked.sample.columns
        if column.name not in out and column.type in ("int", "string") and _apart(looked, [column.name])
    ]
    return min(found, key=lambda name: not words.says(name, words.IDS)) if found else None


def _grid(looked: Looked, time: SampleColumn, out: set[str]) -> tuple[str, ...] | None:
    """The fewest columns that tell the rows of a time apart."""
    rows = looked.sample.rows
    tried = [
        column.name
        for column in looked.sample.columns
        if column.name not in out
        and column.type in ("int", "string")
        and not column.empty
        and 1 < column.distinct <= max(2, rows // _RECURS)
    ]
    tried = sorted(
        tried, key=lambda name: (looked.sample.column(name).type != "string", looked.sample.column(name).distinct)
    )
    tried = tried[:_MOST_TRIED]
    for count in range(_MOST_IN_KEY + 1):
        for dims in combinations(tried, count):
            if _apart(looked, [time.name, *dims]):
                return dims
    return None


def _apart(looked: Looked, names: Sequence[str]) -> bool:
    """Whether the columns have values, and tell nearly all rows apart that differ at all."""
    if any(looked.sample.column(name).empty > _MOST_EMPTY * looked.sample.rows for name in names):
        return False
    different = f"SELECT DISTINCT * FROM {looked.sample.relation}"
    ((rows, keys),) = looked.connection.sql(
        f"SELECT count(*), count(DISTINCT ({listed(names)})) FROM ({different})"
    ).fetchall()
    return bool(rows - keys <= _ALIKE * rows)


def _density(looked: Looked, time: SampleColumn, dims: Sequence[str]) -> float:
    """Which share of all times and groups, from the first to the last, has a row."""
    own = local(time)
    a_day = "1" if time.type == "date" else f"count(DISTINCT {own}::TIME)"
    groups = f"count(DISTINCT ({listed(dims)}))" if dims else "1"
    slots = looked.count(
        f"(quantile_disc({own}::DATE, 0.99) - quantile_disc({own}::DATE, 0.01) + 1) * {a_day} * {groups}"
    )
    return looked.sample.rows / max(slots, 1)

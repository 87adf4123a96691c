"""What is usual for a table, learned from its own last days, and what of a new day is not.

A day is described by figures: its rows, shares of empty fields, quantiles, shares of values, and when rows were known.
Each figure is compared with its own last 28 days. Nothing here reads a table.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from contrail.config.names import listed, quoted
from contrail.config.table_spec import TableSpec

DAYS = 28
LEAST_DAYS = 14  # with fewer, nothing is unusual
_ROOM, _ROOM_OF_ROWS = 1.5, 0.5  # times the usual range, below and above it
_LEAST_WEEKDAYS, _EXPLAINED = 3, 0.6
# Least room, so that a constant figure may move a little: of shares, hours, and of other figures times their value.
_SHARE, _HOURS, _QUIET_HOURS, _RELATIVE = 0.06, 0.95, 1.95, 0.06
_SPREAD = 0.5  # A column's quantiles may move by this part of its spread.
_FEW_ROWS, _PAIRS = 10, 30  # with fewer, a day has no distribution or correlation
_SHOWN_VALUES, _MOST_VALUES, _MOST_NUMBERS = 5, 50, 6
CONTENT = "content"
_OF_MANY = (CONTENT, "mean ", "p10 ", "p50 ", "p90 ", "share ", "varied ", "link ", "hour ", "quiet ")
_NUMBERS = ("int", "float", "bool")


@dataclass(frozen=True)
class DayFigures:
    """The figures of one day, by name. ``unusual`` names those that were unusual when it was judged."""

    day: date
    values: Mapping[str, float]
    unusual: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Finding:
    """A figure with its usual range; ``words`` say what is unusual, and are empty where nothing is."""

    figure: str
    value: float
    least: float | None = None
    most: float | None = None
    words: str = ""


def aggregates(source: TableSpec, label: str | None = None) -> dict[str, str]:
    """The figures of a day of a daily table, each a SQL aggregate over its good rows. A ``share`` gives a map.

    Args:
        source: The table's spec.
        label: The expression of the label, for the table of outcomes.
    """
    found = {"rows": "count(*)"}
    plain = [name for name, column in source.columns.items() if column.type not in ("date", "timestamp")]
    if plain:
        text = f"ROW({listed(plain)})::VARCHAR"
        found[CONTENT] = f"(sum((md5_number_lower({text}) % 9007199254740992)::HUGEINT) % 9007199254740992)::DOUBLE"
    for name, column in source.columns.items():
        if not column.required:
            found[f"empty {name}"] = f"avg(({quoted(name)} IS NULL)::INT)"
        if column.type == "string" and not column.personal:
            counts = f"histogram({quoted(name)})"
            found[f"share {name}"] = f"CASE WHEN cardinality({counts}) <= {_MOST_VALUES} THEN {counts} END"
    if label:
        found["mean label"] = f"avg(CAST(({label}) AS DOUBLE))"
    return found | _numbers(source) | _knowledge(source)


def _numbers(source: TableSpec) -> dict[str, str]:
    """Where the numbers of each column lie, how many differ, and how columns go together."""
    found: dict[str, str] = {}
    names = [
        n
        for n, column in source.columns.items()
        if column.type in _NUMBERS and n not in (*source.key, *source.personal)
    ]
    for name in names:
        found[f"mean {name}"] = f"avg({quoted(name)}::DOUBLE)"
        if source.columns[name].type == "bool":
            continue
        found[f"varied {name}"] = f"count(DISTINCT {quoted(name)}) / nullif(count({quoted(name)}), 0)"
        for percent in (10, 50, 90):
            found[f"p{percent} {name}"] = f"quantile_cont({quoted(name)}::DOUBLE, {percent / 100})"
    for first, second in combinations(names[:_MOST_NUMBERS], 2):
        pair = f"({quoted(first)}::DOUBLE, {quoted(second)}::DOUBLE)"
        found[f"link {first} {second}"] = f"CASE WHEN regr_count{pair} >= {_PAIRS} THEN corr{pair} END"
    return found


def _knowledge(source: TableSpec) -> dict[str, str]:
    """When rows were known: by the local clock, and against the other times of their rows."""
    hour = "epoch(_known_clock - partition_date::TIMESTAMP) / 3600"
    found = {f"hour p{percent}": f"quantile_cont({hour}, {percent / 100})" for percent in (10, 50, 90)}
    found["quiet hours"] = "24 - count(DISTINCT hour(_known_clock))"
    for name, column in source.columns.items():
        if name == source.known_at or column.type not in ("date", "timestamp"):
            continue
        own = quoted(name)
        known, seconds = quoted(str(source.known_at)), seconds_sql(quoted(str(source.known_at)), own)
        if column.type == "date":
            known, seconds = "_known_clock", f"epoch(_known_clock - {own})"
        found[f"hours after {name}"] = f"median({seconds} / 3600)"
        found[f"before {name}"] = f"avg(({known} < {own})::INT)"
    return found


def seconds_sql(later: str, earlier: str) -> str:
    """SQL of the seconds between two instants, to the bit what ``epoch(later - earlier)`` gives in UTC.

    That would ask a calendar for each row, and take thirty times as long.
    """
    between, day = f"(epoch_us({later}) - epoch_us({earlier}))", 86_400_000_000
    return f"({between} // {day} * 86400 + {between} % {day} / 1000000)"


def figures_of(row: Mapping[str, object]) -> dict[str, float]:
    """The figures of one day from the values of its aggregates. Maps become the shares of the most frequent values.

    A day with fewer than 10 rows has no distributions.
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, (int, float)):
            found[name] = float(value)
        elif isinstance(value, (dict, list)):
            found |= {f"{name}={key}": share for key, share in _shares(dict(value))}
    few = found["rows"] < _FEW_ROWS
    return {
        name: value for name, value in found.items() if math.isfinite(value) and not (few and name.startswith(_OF_MANY))
    }


def _shares(counts: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    if len(counts) > _MOST_VALUES:
        return
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_VALUES]
    yield from ((key[:80], count / sum(counts.values())) for key, count in most)


def judge(today: DayFigures, earlier: Sequence[DayFigures]) -> list[Finding]:
    """Compare each figure of a day with the last days before it, in any order.

    With fewer than 14 of them, every figure passes.
    """
    last = sorted((each for each in earlier if each.day < today.day), key=lambda each: each.day)[-DAYS:]
    if len(last) < LEAST_DAYS:
        return [Finding(name, value) for name, value in today.values.items()]
    weekdays = [each.day.weekday() for each in last]
    weekday = today.day.weekday()
    return [_judged(name, value, weekday, last, weekdays) for name, value in today.values.items()]


def _judged(name: str, value: float, weekday: int, last: Sequence[DayFigures], weekdays: Sequence[int]) -> Finding:
    if name == CONTENT:
        return _content(value, last)
    known = [(each, day) for each, day in zip(last, weekdays, strict=True) if name in each.values]
    if len(known) < LEAST_DAYS:  # a value that is rarely among the most frequent, or a new column
        return Finding(name, value)
    trusted = [each for each in known if name not in each[0].unusual]
    if len(trusted) < LEAST_DAYS:
        trusted = known
    least, most = _narrower(weekday, [each.values[name] for each, _ in trusted], [day for _, day in trusted])
    if least <= value <= most:
        return Finding(name, value, least, most)
    part = _ROOM_OF_ROWS if name == "rows" else _ROOM
    room = max(part * (most - least), _least_room(name, (least + most) / 2, [each for each, _ in known]))
    if least - room <= value <= most + room:
        return Finding(name, value, least, most)
    words = f"{name} {_shown(value)}; usually {_shown(least)} to {_shown(most)} on the last {len(known)} days"
    return Finding(name, value, least, most, words)


def _narrower(weekday: int, values: Sequence[float], weekdays: Sequence[int]) -> tuple[float, float]:
    """The range of the values, or that around the median of the day's own weekday where weekdays explain most of it."""
    least, most = min(values), max(values)
    if weekdays.count(weekday) < _LEAST_WEEKDAYS:
        return least, most
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for value, day in zip(values, weekdays, strict=True):
        groups[day].append(value)
    for group in groups.values():
        group.sort()
    middles = {day: _median(group) for day, group in groups.items()}
    below = min(group[0] - middles[day] for day, group in groups.items())
    above = max(group[-1] - middles[day] for day, group in groups.items())
    if above - below < _EXPLAINED * (most - least):
        return middles[weekday] + below, middles[weekday] + above
    return least, most


def _median(ascending: Sequence[float]) -> float:
    middle = len(ascending) // 2
    return ascending[middle] if len(ascending) % 2 else (ascending[middle - 1] + ascending[middle]) / 2


def _content(value: float, last: Sequence[DayFigures]) -> Finding:
    """A day with the rows of an earlier one is unusual in a table whose days all differ."""
    seen = [each for each in last if CONTENT in each.values]
    same = [each.day for each in seen if each.values[CONTENT] == value]
    often = len({each.values[CONTENT] for each in seen if CONTENT not in each.unusual}) < sum(
        CONTENT not in each.unusual for each in seen
    )
    words = f"its rows are those of {same[-1]}, with other dates" if same and not often else ""
    return Finding(CONTENT, value, words=words)


def _least_room(name: str, centre: float, known: Sequence[DayFigures]) -> float:
    kind, _, column = name.partition(" ")
    if kind in ("empty", "share", "varied", "before", "link") or name == "mean label":
        return _SHARE
    if kind in ("hour", "hours", "quiet"):
        return _QUIET_HOURS if kind == "quiet" else _HOURS
    low, high = ([each.values[n] for each in known if (n := f"{p} {column}") in each.values] for p in ("p10", "p90"))
    spread = max(high) - min(low) if low and high else 0.0
    return max(_RELATIVE * abs(centre), _SPREAD * spread, 1e-9)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"

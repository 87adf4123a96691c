"""Rules for a contract from the profile of a sample: ranges with slack, and categories.

Nulls, types, keys and times need no rule: ``validate`` checks them for every table.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contrail.adapters.sample_files import SampleColumn
from contrail.operations.scaffold.features import quoted_text
from contrail.operations.scaffold.words import IDS, says

_ROWS_A_VALUE = 50  # a text is a category of a contract only when each of its values is seen that often
_LONGEST = 60  # letters of a value


@dataclass(frozen=True)
class Rule:
    """A rule for rows: its name, its expectation as Python, and what the sample showed."""

    name: str
    column: str
    expectation: str
    arguments: tuple[str, ...]
    seen: str


def rules_of(columns: Sequence[SampleColumn], rows: int) -> Iterator[Rule]:
    """Yield a rule for each number and each category."""
    for column in columns:
        name, values = column.name, column.values
        if column.type in ("int", "float") and column.distinct and not _is_id(column, rows):
            low, high = slack(float(column.least), float(column.most))
            bounds = (f"min_value={_number(low)}", f"max_value={_number(high)}")
            seen = f"The sample has {_number(float(column.least))} to {_number(float(column.most))}."
            yield Rule(f"plausible_{name}", name, "ExpectColumnValuesToBeBetween", bounds, seen)
        if (
            column.type == "string"
            and values
            and len(values) * _ROWS_A_VALUE <= rows
            and max(map(len, values)) <= _LONGEST
        ):
            listed = "".join(f"                        {quoted_text(value)},\n" for value in sorted(values))
            seen = "All that the sample has. Add a value here before the feed sends it."
            wanted = f"value_set=[\n{listed}                    ]"
            yield Rule(f"known_{name}", name, "ExpectColumnValuesToBeInSet", (wanted,), seen)


def _is_id(column: SampleColumn, rows: int) -> bool:
    return says(column.name, IDS) or (column.type == "int" and column.distinct > 0.9 * rows > 20)


def slack(least: float, most: float) -> tuple[float, float]:
    """A range as wide again on both sides, rounded outwards to one digit. What was never negative stays so.

    Example:
        >>> slack(3, 97), slack(-4.0, 11.0), slack(0, 1)
        ((0.0, 200.0), (-20.0, 30.0), (0.0, 1.0))
    """
    if (least, most) == (0, 1):
        return 0.0, 1.0
    width = (most - least) or abs(most) or 1.0
    low = 0.0 if least >= 0 else -_outwards(width - least)
    return low, _outwards(most + width) if most > 0 or width > -most else 0.0


def _outwards(value: float) -> float:
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return math.ceil(round(value / power, 9)) * power


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e15:
        whole = int(value)
        return f"{whole:_}" if abs(whole) >= 10_000 else str(whole)
    return repr(float(f"{value:.12g}"))

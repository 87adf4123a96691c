"""Tables whose rows say of which publication they are.

Every row of a publication has its tag as its weight, and the tag says how many rows a day has of it. So whoever reads a day
can tell whether it is whole.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from contrail.config.pipeline import Pipeline
from contrail.lake import datasets
from contrail.lake.datasets import Dataset

PIPELINE = "toy"
DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(8)]
_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
_COUNTS = 7
State = dict[str, int]


def tables(pipeline: Pipeline) -> dict[str, Dataset]:
    """The tagged tables."""
    found = (datasets.features(pipeline.spec), datasets.validated(pipeline.spec, "parcels"))
    return {one.name: one for one in found}


def count(tag: int) -> int:
    """How many rows a day has of a publication. Some publications empty their days."""
    return tag % _COUNTS


def rows(dataset: Dataset, days: Iterable[date], tag: int) -> pa.Table:
    """The rows of a publication."""
    values = {"string": "A", "float": float(tag), "bool": True, "timestamp": _MOMENT}

    def row(day: date, number: int) -> dict[str, Any]:
        own = {"date": day, "int": number, **values}
        return {name: own[column.type] for name, column in dataset.columns.items()}

    made = [row(day, number) for day in days for number in range(count(tag))]
    return pa.Table.from_pylist(made, dataset.staged_schema())


def state(before: Mapping[str, int], days: Iterable[str], tag: int) -> State:
    """What a table holds after a publication: the tag of each day that has rows."""
    kept = {day: own for day, own in before.items() if day not in days}
    return kept | (dict.fromkeys(days, tag) if count(tag) else {})


def seen(found: Iterable[tuple[Any, Any]]) -> tuple[State, list[str]]:
    """What days and weights tell of a table: its state, and the days that are not whole."""
    tags: dict[str, list[int]] = defaultdict(list)
    for day, weight in found:
        tags[str(day)].append(int(weight))
    torn = [
        f"{day} has rows of {sorted(set(own))}, {len(own)} in all"
        for day, own in sorted(tags.items())
        if len(set(own)) > 1 or len(own) != count(own[0])
    ]
    return {day: own[0] for day, own in tags.items()}, torn

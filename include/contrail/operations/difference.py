"""How a range of published partitions differs between two snapshots: rows, scores and decisions, a day at a time.

It reads and counts. The reader decides whether a difference is good.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import accumulate
from math import ceil, floor
from typing import Any

import duckdb
import pyarrow as pa

from contrail.config.names import listed, quoted
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.lake import Lake
from contrail.lake.sessions import session
from contrail.operations.difference_quality import quality_of
from contrail.partitions import Partitions
from contrail.reports.backfill_record import Changes, Compared, DayChanges, Difference, TableDifference

_QUANTILES = {"shift_p05": 0.05, "shift_p50": 0.5, "shift_p95": 0.95}


def difference(
    lake: Lake,
    spec: PipelineSpec,
    partitions: Partitions,
    before: Mapping[str, int | None],
    after: Mapping[str, int | None],
    gone: Collection[str] = (),
) -> Difference:
    """Compare ``features`` and ``predictions``, each if it has a snapshot in ``after``.

    The pipeline's key identifies a row within its partition. Tables of ``gone`` are named and not compared: the snapshot from
    before is not there any more.

    Raises:
        MissingInputError: if a snapshot has expired.
    """
    found: dict[str, Any] = {}
    for dataset in (datasets.features(spec), datasets.predictions(spec)):
        old, new = before.get(dataset.name), after.get(dataset.name)
        if new is not None and dataset.name not in gone:
            sides = (_rows(lake, spec, dataset, partitions, side) for side in (old, new))
            compared = compare(lake.settings, spec, dataset, *sides)
            found[dataset.name] = TableDifference(before=old, after=new, total=compared.total, days=compared.days)
    if named := tuple(name for name in after if name in gone):
        found["gone"] = named
    old, new = before.get("predictions"), after.get("predictions")
    if old is not None and new is not None and "predictions" not in gone:
        quality = quality_of(lake, spec, partitions, old, new)
        found |= {"quality": quality} if quality else {}
    return Difference(**found)


def compared_columns(spec: PipelineSpec, dataset: Dataset) -> list[str]:
    """The columns that a comparison of ``features`` or ``predictions`` reads."""
    scored = dataset.name == "predictions"
    values = _scores(spec) if scored else _feature_values(dataset, spec)
    return [PARTITION, *spec.key, *values, *(["model_version"] if scored else [])]


def compare(
    settings: Settings,
    spec: PipelineSpec,
    dataset: Dataset,
    before: pa.Table | pa.RecordBatchReader,
    after: pa.Table | pa.RecordBatchReader,
) -> Compared:
    """The changes between two sides with the ``compared_columns``. They need not fit into memory."""
    scored = dataset.name == "predictions"
    values = _scores(spec) if scored else _feature_values(dataset, spec)
    with session(settings) as connection:
        _join(connection, spec, values, scored, {"b": before, "a": after})
        columns = _COMMON + (_score_columns(spec) if scored else [])
        found = connection.sql(
            f"SELECT {PARTITION}, {', '.join(columns)} FROM compared GROUP BY GROUPING SETS ((), ({PARTITION})) "
            f"ORDER BY GROUPING({PARTITION}) DESC, {PARTITION}"
        )
        total, *days = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        if scored:
            _add_quantiles(connection, [total], "shift")
            _add_quantiles(connection, days, f"{PARTITION}, shift")
    for row in (total, *days):
        row.pop("shifts", None)
    total.pop(PARTITION)
    return Compared(
        total=Changes(**total), days=tuple(DayChanges(partition=str(day.pop(PARTITION)), **day) for day in days)
    )


def _join(
    connection: duckdb.DuckDBPyConnection,
    spec: PipelineSpec,
    values: list[str],
    scored: bool,
    sides: Mapping[str, pa.Table | pa.RecordBatchReader],
) -> None:
    """Make the table ``compared``, with a row for each key and what the counts need of it."""
    for side, rows in sides.items():
        connection.register(side, rows)
    # The mark tells a missing row from a row full of nulls.
    b, a = (f"(SELECT *, true AS _there FROM {side}) {side}" for side in ("b", "a"))
    score = spec.prediction_column
    own = [f"b.{score} AS b_score", f"a.{score} AS a_score", f"a.{score} - b.{score} AS shift"]
    own += ["b.model_version AS b_version", "a.model_version AS a_version"]
    own += ["b.decision AS b_decision", "a.decision AS a_decision"] if spec.task == "binary" else []
    changed = " OR ".join(f"a.{quoted(name)} IS DISTINCT FROM b.{quoted(name)}" for name in values)
    columns = [
        PARTITION,
        "b._there AS b_there",
        "a._there AS a_there",
        f"b_there AND a_there AND ({changed or 'false'}) AS changed",
        *(own if scored else []),
    ]
    keys = listed((PARTITION, *spec.key))
    connection.execute(
        f"CREATE TEMP TABLE compared AS SELECT {', '.join(columns)} FROM {b} FULL JOIN {a} USING ({keys})"
    )


def _add_quantiles(connection: duckdb.DuckDBPyConnection, groups: list[dict[str, Any]], order: str) -> None:
    """Add the quantiles of the shifts, a group after the other. DuckDB's function would hold all shifts in memory."""
    starts = list(accumulate((group["shifts"] for group in groups), initial=0))
    wanted: set[int] = set()
    for start, group in zip(starts, groups, strict=False):
        places = [(group["shifts"] - 1) * quantile for quantile in _QUANTILES.values()] if group["shifts"] else []
        wanted |= {start + end(place) for place in places for end in (floor, ceil)}
    rows = connection.sql(f"SELECT shift FROM compared WHERE shift IS NOT NULL ORDER BY {order}").to_arrow_reader(
        100_000
    )
    found = dict(_at(rows, wanted))
    for start, group in zip(starts, groups, strict=False):
        for name, quantile in _QUANTILES.items():
            place = (group["shifts"] - 1) * quantile
            part = place - floor(place)
            if group["shifts"]:
                low, high = found[start + floor(place)], found[start + ceil(place)]
                group[name] = low * (1 - part) + high * part
            else:
                group[name] = None


def _at(batches: Iterable[pa.RecordBatch], wanted: set[int]) -> Iterator[tuple[int, float]]:
    """Yield the values at these places of a column."""
    left, start = deque(sorted(wanted)), 0
    for batch in batches:
        while left and left[0] < start + len(batch):
            yield left[0], batch.column(0)[left[0] - start].as_py()
            left.popleft()
        start += len(batch)


def _rows(
    lake: Lake, spec: PipelineSpec, dataset: Dataset, partitions: Partitions, snapshot: int | None
) -> pa.Table | pa.RecordBatchReader:
    names = compared_columns(spec, dataset)
    if snapshot is None:
        return dataset.arrow_schema().empty_table().select(names)
    return lake.batches(dataset.name, partitions, names, snapshot)


def _scores(spec: PipelineSpec) -> list[str]:
    return [spec.prediction_column, *(["decision"] if spec.task == "binary" else [])]


def _feature_values(dataset: Dataset, spec: PipelineSpec) -> list[str]:
    return [name for name in dataset.columns if name not in (PARTITION, "cutoff_at", *spec.key)]


_COMMON = [
    "count(b_there) AS rows_before",
    "count(a_there) AS rows_after",
    "count(*) FILTER (b_there IS NULL) AS added",
    "count(*) FILTER (a_there IS NULL) AS removed",
    "count(*) FILTER (changed) AS changed",
]


def _score_columns(spec: PipelineSpec) -> list[str]:
    columns = [
        "count(shift) AS shifts",
        "avg(b_score) AS mean_before",
        "avg(a_score) AS mean_after",
        "avg(shift) AS mean_shift",
        "max(abs(shift)) AS largest_shift",
        "string_agg(DISTINCT b_version, ',' ORDER BY b_version) AS versions_before",
        "string_agg(DISTINCT a_version, ',' ORDER BY a_version) AS versions_after",
    ]
    if spec.task == "binary":
        columns += [
            "count(*) FILTER (a_decision AND NOT b_decision) AS flipped_to_true",
            "count(*) FILTER (b_decision AND NOT a_decision) AS flipped_to_false",
        ]
    return columns

"""How a range of published partitions differs between two snapshots: rows, scores and decisions, a day at a time.

It reads and counts. The reader decides whether a difference is good.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from contrail.config.names import quoted
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.lake import Lake
from contrail.partitions import Partitions
from contrail.reports.backfill_record import Changes, Compared, DayChanges, Difference, TableDifference


def difference(
    lake: Lake,
    spec: PipelineSpec,
    partitions: Partitions,
    before: Mapping[str, int | None],
    after: Mapping[str, int | None],
) -> Difference:
    """Compare ``features`` and ``predictions``, each if it has a snapshot in ``after``.

    The pipeline's key identifies a row within its partition.

    Raises:
        MissingInputError: if a snapshot has expired.
    """
    found = {}
    for dataset in (datasets.features(spec), datasets.predictions(spec)):
        old, new = before.get(dataset.name), after.get(dataset.name)
        if new is not None:
            compared = compare(spec, dataset, *(_rows(lake, spec, dataset, partitions, side) for side in (old, new)))
            found[dataset.name] = TableDifference(before=old, after=new, total=compared.total, days=compared.days)
    return Difference(**found)


def compared_columns(spec: PipelineSpec, dataset: Dataset) -> list[str]:
    """The columns that a comparison of ``features`` or ``predictions`` reads."""
    scored = dataset.name == "predictions"
    values = _scores(spec) if scored else _feature_values(dataset, spec)
    return [PARTITION, *spec.key, *values, *(["model_version"] if scored else [])]


def compare(spec: PipelineSpec, dataset: Dataset, before: pa.Table, after: pa.Table) -> Compared:
    """The changes between two tables with the ``compared_columns``."""
    scored = dataset.name == "predictions"
    values = _scores(spec) if scored else _feature_values(dataset, spec)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for side, rows in (("b", before), ("a", after)):
            # This mark tells a missing row from a row full of nulls.
            connection.register(side, rows.append_column("_there", pa.repeat(pa.scalar(True), rows.num_rows)))
        columns = _common(values) + (_score_columns(spec) if scored else [])
        keys = ", ".join(quoted(name) for name in (PARTITION, *spec.key))
        joined = f"FROM b FULL JOIN a USING ({keys})"
        total = connection.sql(f"SELECT {', '.join(columns)} {joined}").fetchall()[0]
        days = connection.sql(
            f"SELECT {PARTITION}, {', '.join(columns)} {joined} GROUP BY {PARTITION} ORDER BY {PARTITION}"
        ).fetchall()
    labels = [column.rsplit(" AS ", 1)[1] for column in columns]
    return Compared(
        total=Changes(**dict(zip(labels, total, strict=True))),
        days=tuple(DayChanges(partition=str(day), **dict(zip(labels, row, strict=True))) for day, *row in days),
    )


def _rows(lake: Lake, spec: PipelineSpec, dataset: Dataset, partitions: Partitions, snapshot: int | None) -> pa.Table:
    names = compared_columns(spec, dataset)
    if snapshot is None:
        return dataset.arrow_schema().empty_table().select(names)
    return lake.scan(dataset.name, partitions, names, snapshot).select(names)


def _scores(spec: PipelineSpec) -> list[str]:
    return [spec.prediction_column, *(["decision"] if spec.task == "binary" else [])]


def _feature_values(dataset: Dataset, spec: PipelineSpec) -> list[str]:
    return [name for name in dataset.columns if name not in (PARTITION, "cutoff_at", *spec.key)]


def _common(values: list[str]) -> list[str]:
    changed = " OR ".join(f"a.{quoted(name)} IS DISTINCT FROM b.{quoted(name)}" for name in values)
    return [
        "count(b._there) AS rows_before",
        "count(a._there) AS rows_after",
        "count(*) FILTER (b._there IS NULL) AS added",
        "count(*) FILTER (a._there IS NULL) AS removed",
        f"count(*) FILTER (a._there AND b._there AND ({changed or 'false'})) AS changed",
    ]


def _score_columns(spec: PipelineSpec) -> list[str]:
    score = spec.prediction_column
    shift = f"a.{score} - b.{score}"
    columns = [
        f"avg(b.{score}) AS mean_before",
        f"avg(a.{score}) AS mean_after",
        f"avg({shift}) AS mean_shift",
        f"quantile_cont({shift}, 0.05) AS shift_p05",
        f"quantile_cont({shift}, 0.5) AS shift_p50",
        f"quantile_cont({shift}, 0.95) AS shift_p95",
        f"max(abs({shift})) AS largest_shift",
        "string_agg(DISTINCT b.model_version, ',' ORDER BY b.model_version) AS versions_before",
        "string_agg(DISTINCT a.model_version, ',' ORDER BY a.model_version) AS versions_after",
    ]
    if spec.task == "binary":
        columns += [
            "count(*) FILTER (a.decision AND NOT b.decision) AS flipped_to_true",
            "count(*) FILTER (b.decision AND NOT a.decision) AS flipped_to_false",
        ]
    return columns

"""The estimates of days at whose cut-off no label was known: made of their predictions, and of how earlier days turned out.

An estimate is made once for the predictions of a day. When labels come, it stays as it was. What is estimated of a day, and
how, belongs to ``methods.estimated``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from contrail.config.names import quoted
from contrail.lake import quality_records
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import mature_days
from contrail.lake.sessions import session
from contrail.methods.decisions import COST
from contrail.methods.estimated import DAYS, Expected, ExpectedSums, Known, estimate
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions
from contrail.stages.profiles import digest_of

TABLE = "estimates"

_ROWS = 65_536  # in a batch
Row = dict[str, Any]


def publish_estimates(run: StageRun[StageOptions], learned_from: Callable[[str], Partitions | None]) -> int:
    """Estimate each day of the range whose predictions have no estimate yet, and publish them in one commit.

    Files that are new and hold the same predictions, as after compaction, change no estimate.

    Args:
        run: The stage.
        learned_from: Gives the days that a version was trained on; None where nobody knows. They are no history.

    Returns:
        The number of days that are estimated anew.
    """
    snapshot = run.lake.snapshot_id("predictions")
    files = run.lake.made_of("predictions", run.partitions, snapshot)
    made_of = {day: digest_of(names) for day, names in files.items()}
    lag = timedelta(days=run.pipeline.spec.label.mature_after_days + 1)
    window = run.partitions.reaching_back(DAYS + lag.days)
    before = _known(run, window)
    days = [day for day in made_of if made_of[day] not in {row["made_of"] for row in before.get(day, ())}]
    if not days:
        return 0
    with session(run.settings) as connection:
        run.lake.view(connection, "predictions", "predictions", days, snapshot_id=snapshot)
        promised = _promised(run, connection, days)
    kept = {day: before[day] for day in days if _same(before.get(day, ()), promised[day])}
    replaced = [day for day in days if day in before]
    before |= promised
    _tell_unknown(run, promised)
    known = set(mature_days(run.lake, run.pipeline.spec, run.partitions))
    found = _out_of_training(_found(run, window), learned_from)
    anew = {
        day: [_row(run, row, _history(before, found, row, lag), lag) | {"labels_known": day in known} for row in rows]
        for day, rows in promised.items()
        if rows and day not in kept
    }
    rows = [row | {"made_of": made_of[day]} for day, own in (kept | anew).items() for row in own]
    if not rows and not replaced:
        return 0
    dataset = quality_records.estimates(run.pipeline.spec)
    inputs = {"predictions": snapshot, **({"performance": run.lake.snapshot_id("performance")} if found else {})}
    table = pa.Table.from_pylist(rows, schema=dataset.arrow_schema())
    run.lake.publish(dataset, table, days, run.provenance(inputs))
    run.progress(f"quality estimated before labels: {len(anew):,} days")
    return len(anew)


def _same(known: Iterable[Row], promised: Iterable[Row]) -> bool:
    """Whether predictions promise what those promised of which the estimates are known."""
    one, other = ({(row["model_version"], row["metric"]): row for row in rows} for rows in (known, promised))
    return (
        bool(one)
        and one.keys() == other.keys()
        and all(
            row["rows"] == other[key]["rows"]
            and np.allclose(
                [row["expected"], row["scale"]], [other[key]["expected"], other[key]["scale"]], rtol=1e-9, atol=1e-12
            )
            for key, row in one.items()
        )
    )


def _tell_unknown(run: StageRun[StageOptions], promised: Mapping[date, Collection[Row]]) -> None:
    """Name the days of which a missing value leaves nothing, or no cost, to estimate."""
    nothing = [day for day, rows in promised.items() if not rows]
    if nothing:
        days = ", ".join(map(str, as_ranges(nothing)))
        run.progress(f"no estimate of {days}: a prediction is missing or is no finite number")
    if run.pipeline.spec.score.costs and run.pipeline.spec.task == "binary":
        without = [day for day, rows in promised.items() if rows and COST not in {row["metric"] for row in rows}]
        if without:
            run.progress(f"no expected cost of {', '.join(map(str, as_ranges(without)))}: a decision is missing")


def _known(run: StageRun[StageOptions], window: Partitions) -> dict[date, list[Row]]:
    """The estimates that there are, by day."""
    found: dict[date, list[Row]] = {}
    if run.lake.exists(TABLE):
        for row in run.lake.scan(TABLE, window).to_pylist():
            found.setdefault(row[PARTITION], []).append(row)
    return found


def _found(run: StageRun[StageOptions], window: Partitions) -> dict[tuple[date, str], Row]:
    """What labels said of each day's published predictions, by day and version."""
    if not run.lake.exists("performance"):
        return {}
    rows = run.lake.scan("performance", window).to_pylist()
    return {(row[PARTITION], row["model_version"]): row for row in rows if not row.get("shadow")}


def _out_of_training(
    found: Mapping[tuple[date, str], Row], learned_from: Callable[[str], Partitions | None]
) -> dict[tuple[date, str], Row]:
    """Leave out days that the version has learned from. Its predictions of them are nearer to the labels than of others."""
    learned = {version: learned_from(version) or () for version in sorted({version for _, version in found})}
    return {(day, version): row for (day, version), row in found.items() if day not in learned[version]}


def _promised(
    run: StageRun[StageOptions], connection: duckdb.DuckDBPyConnection, days: Collection[date]
) -> dict[date, list[Row]]:
    """What the predictions of each day and version promise, in one pass over them."""
    spec = run.pipeline.spec
    counted = connection.sql(
        f"SELECT {PARTITION}, model_name, model_version, count(*) FROM predictions GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    place = {(day, version): number for number, (day, _, version, _) in enumerate(counted)}
    connection.execute("CREATE TEMP TABLE places (day DATE, version VARCHAR, place BIGINT)")
    connection.executemany("INSERT INTO places VALUES (?, ?, ?)", [(*key, number) for key, number in place.items()])
    sums = ExpectedSums(spec.task, len(place), spec.score.costs)
    flagged = "decision::DOUBLE" if spec.score.costs else "0::DOUBLE"
    rows = connection.sql(
        f"SELECT place, {quoted(spec.prediction_column)} AS score, {flagged} AS flagged FROM predictions "
        f"JOIN places ON day = {PARTITION} AND version = model_version ORDER BY score, place, flagged"
    )
    for batch in rows.to_arrow_reader(_ROWS):
        sums.add(*(column.to_numpy(zero_copy_only=False) for column in batch.columns))
    found: dict[date, list[Row]] = {day: [] for day in days}
    for day, name, version, count in counted:
        about = {PARTITION: day, "model_name": name, "model_version": version, "rows": count}
        found[day] += [
            {**about, "metric": metric, "expected": one.value, "scale": one.scale}
            for metric, one in sums.of_day(place[day, version]).items()
        ]
    return found


def _history(
    before: Mapping[date, list[Row]], found: Mapping[tuple[date, str], Row], row: Row, lag: timedelta
) -> list[Known]:
    """The newest days whose labels the cut-off of a day saw, with what was expected of a metric and what was found."""
    last: date = row[PARTITION] - lag
    return [
        Known(Expected(one["expected"], one["scale"]), truth)
        for day in Partitions(last - timedelta(days=DAYS - 1), last)
        for one in before.get(day, ())
        if one["metric"] == row["metric"]
        and (truth := found.get((day, one["model_version"]), {}).get(row["metric"])) is not None
    ]


def _row(run: StageRun[StageOptions], row: Row, known: list[Known], lag: timedelta) -> Row:
    made = estimate(run.pipeline.spec.task, row["metric"], Expected(row["expected"], row["scale"]), known)
    values = {"estimate": made.value, "low": made.low, "high": made.high}
    clean = {name: value if value is None or np.isfinite(value) else None for name, value in values.items()}
    return {**row, **clean, "days": made.days, "known_until": row[PARTITION] - lag}

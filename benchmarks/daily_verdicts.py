"""What a day's verdict on drift costs, in time and memory, when a day has 900 rows and when it has millions.

The days lie in 2014, after the year that the other benchmarks read. Their rows are those of real days, drawn again with
other flight numbers. The day itself and the day of the newest labels have the rows that are asked for. The days before
them have those of the year.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from benchmarks.harness import HOME, PIPELINE, measured

if TYPE_CHECKING:
    import duckdb

    from contrail.lake.lake import Lake

SIZES = tuple(int(size) for size in os.environ.get("CONTRAIL_BENCH_DAY_ROWS", "900,90000,900000").split(","))
_HISTORY = 27
_SOURCE = date(2013, 11, 1)
_TIMES = "drift: the day and its labels are counted", "drift again: all is counted", "performance of the labels' day"


@dataclass(frozen=True)
class _Cost:
    cpu: float
    wall: float
    megabytes: float


def measure() -> str:
    """Measure each size, and tell seconds and memory of whole processes."""
    found = {rows: _costs(month, rows) for month, rows in enumerate(SIZES)}
    head = "| rows a day | " + " | ".join(_TIMES) + " |"
    lines = [
        f"| {rows:,} | " + " | ".join(f"{c.cpu:.1f} s, {c.megabytes:,.0f} MB" for c in costs) + " |"
        for rows, costs in found.items()
    ]
    return "\n".join(
        [
            "## A day's verdict",
            "",
            head,
            "|---" * (1 + len(_TIMES)) + "|",
            *lines,
            "",
            "CPU seconds and peak memory of whole processes, imports included; one run each. The first verdict of a day counts "
            "its features, and predicts and joins the rows of the day whose labels became mature. After a day was scored, its "
            "features are counted already. No verdict reads the rows of the days before.",
            "",
        ]
    )


def _costs(month: int, rows: int) -> list[_Cost]:
    last = date(2014, 2, 10) + timedelta(days=60 * month)
    labels = last - timedelta(days=2)
    _publish(last, {last: rows, labels: rows})
    version = ("--model", "latest", "--report", "never")
    _run("drift", last - timedelta(days=1), *version)  # the days before are counted, as yesterday left them
    _recount(last, labels)
    costs = [_run("drift", last, *version), _run("drift", last, *version), _run("performance", labels)]
    for cost, what in zip(costs, _TIMES, strict=True):
        print(
            f"  {rows:,} rows a day, {what}: {cost.cpu:.1f} s of CPU, {cost.wall:.1f} s, {cost.megabytes:,.0f} MB",
            flush=True,
        )
    return costs


def _run(verb: str, day: date, *options: str) -> _Cost:
    taken = measured([verb, "-p", PIPELINE, "--from", str(day), "--to", str(day), *options])
    return _Cost(taken.cpu, taken.wall, taken.memory / 1e6)


@contextmanager
def _lake() -> "Iterator[tuple[Lake, duckdb.DuckDBPyConnection]]":
    from contrail.config.settings import settings
    from contrail.lake.lake import Lake
    from contrail.lake.sessions import session

    os.environ["CONTRAIL_HOME"] = str(HOME)
    settings.cache_clear()
    with session(settings()) as connection:
        yield Lake(settings(), PIPELINE), connection


def _publish(last: date, sizes: dict[date, int]) -> None:
    """Publish the tables that drift and performance read, of a month up to ``last``."""
    from contrail.config.pipeline import load_pipeline
    from contrail.lake.datasets import PARTITION
    from contrail.lake.provenance import Provenance
    from contrail.lake.records import all_datasets

    spec = load_pipeline(PIPELINE).spec
    datasets, made = all_datasets(spec), Provenance("bench", "bench", "", "", "")
    days = [last - timedelta(days=back) for back in range(_HISTORY, -1, -1)]
    for name in ("features", f"validated_{spec.entities}", f"validated_{spec.label.table}", "predictions"):
        for day in days:
            with _lake() as (lake, connection):
                source = _SOURCE + timedelta(days=day.toordinal() % 28)
                lake.view(connection, name, name, [source])
                ((there,),) = connection.sql(f"SELECT count(*) FROM {name}").fetchall()
                copies = max(1, round(sizes.get(day, there) / there))
                moved = {PARTITION: f"DATE '{day}'", "flight_date": f"flight_date + {(day - source).days}",
                         "flight": "flight + 10000 * copy"}  # fmt: skip
                columns = ", ".join(f"{moved.get(column, column)} AS {column}" for column in datasets[name].columns)
                rows = connection.sql(f"SELECT {columns} FROM {name}, range({copies}) _(copy)")
                lake.publish(datasets[name], rows.to_arrow_reader(65_536), [day], made)


def _recount(*days: date) -> None:
    """Forget what was counted of these days."""
    from contrail.config.pipeline import load_pipeline
    from contrail.lake import drift_records
    from contrail.lake.provenance import Provenance

    dataset = drift_records.drift_profiles(load_pipeline(PIPELINE).spec)
    with _lake() as (lake, _):
        lake.publish(dataset, dataset.staged_schema().empty_table(), days, Provenance("bench", "bench", "", "", ""))

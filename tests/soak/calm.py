"""A calm year: the same files, but for what went wrong with them, in a few commands over all days; and how the years differ."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from contrail.config.names import quoted
from contrail.config.settings import settings
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from tests.soak.ground import Ground

# What says when, where or by which run a row was made.
_HOW = {"_file", "_line", "_sha256", "feature_snapshot", "scoring_run", "scored_at", "model_version"}
UNSCORED = "predictions that are missing or doubled"
# The home's other places come with the models that the year has trained.
_KEPT = ("mlflow", "models", "dvc-remote", "training_sets")


@dataclass(frozen=True)
class Differs:
    """A table of which days have other rows in the year than in the calm one."""

    pipeline: str
    table: str
    rows: int
    days: tuple[str, ...]


def compare(ground: Ground, last: int) -> list[Differs]:
    """Make the calm year up to a day, and name the tables that are not equal, with their days."""
    lived, calm = ground.folder / "lived", ground.folder / "calm"
    for folder in (lived, calm):
        shutil.rmtree(folder, ignore_errors=True)
    scored = {name: _export(name, lived) for name in ground.plans}
    with _other_home(ground):
        for name in ground.plans:
            _make(ground, name, last, scored[name])
            _export(name, calm)
    found = list[Differs]()
    for name in ground.plans:
        first, until = ground.date_of(name, 1), ground.date_of(name, last - 1)
        found += differences(name, lived / name, calm / name, until)
        found += unscored(name, lived / name, ground.specs[name].spec.key, first, until)
        found += strange_keys(name, lived / name, calm / name, ground.specs[name].spec.key, until)
    return found


@contextmanager
def _other_home(ground: Ground) -> Iterator[None]:
    """Put a new home at the place of the year's, with its models. Names of files in it are whole paths."""
    away = ground.away
    ground.home.rename(away)
    try:
        ground.home.mkdir()
        for name in _KEPT:
            if (away / name).exists():
                shutil.copytree(away / name, ground.home / name, symlinks=True)
        yield
    finally:
        shutil.rmtree(ground.home)
        away.rename(ground.home)


def _make(ground: Ground, name: str, last: int, scored: list[tuple[str, str]]) -> None:
    """Land what is right, with the corrections of the year, and do each stage once over all days."""
    plan = ground.plans[name]
    days = ("-p", name, "--from", plan.history.start, "--to", ground.date_of(name, last))
    ground.contrail("land", *days)
    for line in ground.journal("corrected"):
        if line["pipeline"] == name:
            kept = ground.away / line["path"]
            (ground.home / line["path"]).parent.joinpath(f"{line['day']}.csv.gz").write_bytes(kept.read_bytes())
    for verb in ("ingest", "validate"):
        ground.contrail(verb, *days)
    # Features that were made before somebody was forgotten stay as they are.
    begin = plan.history.start
    for line in ground.journal("forgotten"):
        if line["pipeline"] == name:
            ground.contrail("features", "-p", name, "--from", begin, "--to", line["day"])
            where = ("--where", line["where"], "--reason", "as in the year")
            ground.contrail("forget", "-p", name, *where, "--yes", "--grace-minutes", 0)
            begin = date.fromisoformat(line["day"]) + timedelta(days=1)
    ground.contrail("features", "-p", name, "--from", begin, "--to", ground.date_of(name, last))
    for version, first_last in scored:
        first, _, end = first_last.partition("..")
        ground.contrail("score", "-p", name, "--from", first, "--to", end, "--model", version)


def _export(name: str, folder: Path) -> list[tuple[str, str]]:
    """Write the tables that hold rows of data. Return the runs of days that each version has scored."""
    settings.cache_clear()
    lake = Lake(settings(), name)
    (folder / name).mkdir(parents=True)
    for table in lake.table_names():
        if table.startswith(("raw_", "validated_")) or table in ("features", "predictions"):
            pq.write_table(lake.scan(table), folder / name / f"{table}.parquet")
    if not (folder / name / "predictions.parquet").exists():
        return []
    query = (
        "SELECT model_version, min(partition_date) || '..' || max(partition_date) FROM (SELECT *, partition_date - "
        "(row_number() OVER (PARTITION BY model_version ORDER BY partition_date))::INT AS run FROM (SELECT DISTINCT "
        f"model_version, partition_date FROM '{folder}/{name}/predictions.parquet')) GROUP BY model_version, run ORDER BY 2"
    )
    return [(str(version), str(days)) for version, days in duckdb.sql(query).fetchall()]


def differences(name: str, lived: Path, calm: Path, until: date) -> Iterator[Differs]:
    """The last day's own outcomes are not in the year yet, so its rows are compared up to the day before."""
    tables = sorted({path.stem for folder in (lived, calm) for path in folder.glob("*.parquet")})
    for table in tables:
        ours, theirs = lived / f"{table}.parquet", calm / f"{table}.parquet"
        if not (ours.exists() and theirs.exists()):
            yield Differs(name, table, -1, ())
            continue
        columns = [column for column in pq.read_schema(ours).names if column not in _HOW]
        past = f"WHERE partition_date <= '{until}'" if PARTITION in columns else ""
        sides = (_rows(path, columns, past) for path in (ours, theirs))
        yield from _by_day(name, table, _apart(*sides), PARTITION if past else "NULL")


def unscored(name: str, lived: Path, key: Sequence[str], first: date, until: date) -> Iterator[Differs]:
    """Rows of features that have no prediction, or more than one, on the days since the first champion."""
    past = f"WHERE partition_date BETWEEN '{first}' AND '{until}'"
    sides = (_rows(lived / f"{table}.parquet", _keys(key), past) for table in ("features", "predictions"))
    yield from _by_day(name, UNSCORED, _apart(*sides))


def strange_keys(name: str, lived: Path, calm: Path, key: Sequence[str], until: date) -> Iterator[Differs]:
    """Predictions of the year whose keys the calm one has not, whatever was corrected."""
    past = f"WHERE partition_date <= '{until}'"
    ours, theirs = (_rows(folder / "predictions.parquet", _keys(key), past) for folder in (lived, calm))
    yield from _by_day(name, "predictions of nothing", f"{ours} EXCEPT ALL {theirs}")


def _keys(key: Sequence[str]) -> list[str]:
    return list(dict.fromkeys((PARTITION, *key)))


def _rows(path: Path, columns: Sequence[str], past: str) -> str:
    named = ", ".join(map(quoted, columns))
    return f"SELECT {named} FROM '{path}' {past}"


def _apart(one: str, other: str) -> str:
    return f"({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one})"


def _by_day(name: str, what: str, rows: str, day: str = PARTITION) -> Iterator[Differs]:
    query = f"SELECT {day}::VARCHAR, count(*) FROM ({rows}) GROUP BY 1 ORDER BY 1"
    if found := duckdb.sql(query).fetchall():
        yield Differs(name, what, sum(count for _, count in found), tuple(str(own) for own, _ in found))

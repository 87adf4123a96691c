"""A quarter of bike_demand, a day at a time, with trouble planted in its feed. The messages read as a story.

Each day makes the calls that the DAGs make, in their order, in this process and without Airflow. The story comes from
the tables and from the messages to people. ``_expectations`` says what it must contain.
"""

import gzip
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from croniter import croniter
from upath import UPath

from benchmarks.harness import PROJECT
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.training_windows import training_windows
from contrail.errors import ContrailError
from contrail.lake.lake import Lake
from contrail.notify.messages import Message, of_failure, of_result
from contrail.operations.backfill import Backfills
from contrail.operations.late import correct
from contrail.partitions import Partitions
from contrail.stages.details import StageDetails
from contrail.stages.results import LateDetails
from contrail.stages.runner import run_stage

HOME = PROJECT / ".contrail" / "bench-quarter"
PIPELINE = "bike_demand"
QUARTER = Partitions(date(2019, 6, 1), date(2019, 8, 31))
DAY = timedelta(days=1)

# What is planted, by the dates of the files. The contracts refuse Fahrenheit, and nothing else of this.
FAHRENHEIT = date(2019, 6, 3)  # a day's weather in °F; delivered again in °C an evening later
STRANGE = date(2019, 6, 5)  # a cloudburst: 250 mm of rain in a day
MORE_FROM, MORE = date(2019, 6, 10), 1.4  # for good: the rides of a second operator are counted too
PARTIAL = date(2019, 8, 14)  # half the afternoon's rides are missing; delivered whole four evenings later
EXPERIMENT = date(2019, 8, 22)  # a scientist trains with these parameters
PARAMETERS = {"eta": 1.0, "max_depth": 12, "min_child_weight": 0, "subsample": 0.3}


# ---- the feed ----


@dataclass(frozen=True)
class Feed:
    """Delivers each evening the files that a feed has by then, with the planted trouble."""

    outbox: Path
    landing: Path

    def deliver(self, day: date) -> None:
        """The files of the evening before ``day``: its own hours, and the rides and weather that are over."""
        over = day - DAY
        self._deliver("hours", day)
        self._deliver("weather", over, *_WEATHER.get(over, ()))
        self._deliver("counts", over, *self._more(over), *([_without_afternoon] if over == PARTIAL else []))
        if over == FAHRENHEIT + DAY:
            self._deliver("weather", FAHRENHEIT, revision=2)
        if over == PARTIAL + 4 * DAY:
            self._deliver("counts", PARTIAL, *self._more(PARTIAL), revision=2)

    def _more(self, day: date) -> list[Callable[[pd.DataFrame], pd.DataFrame]]:
        return [lambda rows: _rides(rows, MORE)] if day >= MORE_FROM else []

    def _deliver(
        self, table: str, day: date, *changes: Callable[[pd.DataFrame], pd.DataFrame], revision: int = 1
    ) -> None:
        rows = pd.read_csv(self.outbox / table / f"{day}.csv.gz", dtype=str)
        for change in changes:
            rows = change(rows)
        name = f"{day}.csv.gz" if revision == 1 else f"{day}.{revision}.csv.gz"
        text = io.StringIO()
        rows.to_csv(text, index=False)
        (self.landing / table / name).write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _rides(rows: pd.DataFrame, share: float, hours: range = range(24)) -> pd.DataFrame:
    changed = (rows["rides"].astype(int) * share).round().astype(int).astype(str)
    return rows.assign(rides=rows["rides"].mask(rows["hour"].astype(int).isin(hours), changed))


def _in_fahrenheit(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{name: (rows[name].astype(float) * 1.8 + 32).astype(str) for name in ("temp_min", "temp_max")})


def _without_afternoon(rows: pd.DataFrame) -> pd.DataFrame:
    return _rides(rows, 0.5, range(12, 18))


def _cloudburst(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(precipitation="250.0")


_WEATHER = {FAHRENHEIT: (_in_fahrenheit,), STRANGE: (_cloudburst,)}


# ---- the days ----


@dataclass
class Simulation:
    """The pipeline's DAGs, called in this process. ``told`` has the messages to people, each with its day.

    A run has the name of the day on which it runs, so the tables say it too.
    """

    told: list[tuple[date, Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = load_pipeline(PIPELINE)
        self.lake = Lake(settings(), PIPELINE)

    def begin(self) -> Feed:
        """The history before the quarter, in bulk, with a champion trained a month before; the feed of the quarter."""
        land = self.pipeline.function("source", "land")
        history = Partitions(self.pipeline.spec.first_partition, QUARTER.start - DAY)
        month = Partitions(history.end.replace(day=1), history.end)
        land(settings().landing / PIPELINE, history)
        for verb in ("ingest", "validate"):
            self.stage(verb, history, history.end, as_of_cutoff=True)
        self.stage("features", history, history.end)
        self.train(month.start, month.start)
        for verb in ("score", "drift", "performance"):
            self.stage(verb, month, history.end)
        outbox = HOME / "outbox"
        land(UPath(outbox), QUARTER.reaching_back(1))
        return Feed(outbox, HOME / "landing" / PIPELINE)

    def day(self, day: date) -> None:
        """Run a day: daily, score and monitor, then the trainings that people and the schedule start."""
        with suppress(ContrailError):  # a failure with a past day sends its message, and this day still runs
            self._task("late", str(day), day, lambda: self._late(day))
        self.chain(day, on=day)
        if day == FAHRENHEIT + 2 * DAY:
            self.chain(day - DAY, on=day)  # an engineer clears the run that was refused
        if day == EXPERIMENT:
            self.ask(day, "by-hand", PARAMETERS, reason="an experiment", insist=True)
        if self._is_training_day(day):
            self.ask(day, "schedule")

    def chain(self, day: date, on: date) -> None:
        """The DAGs daily, score and monitor of a day; a failure ends them."""
        own = Partitions(day, day)
        with suppress(ContrailError):
            for verb in ("ingest", "validate"):
                self.stage(verb, own, on, as_of_cutoff=True)
            for verb in ("features", "score", "drift"):
                self.stage(verb, own, on)
            spec = self.pipeline.spec
            mature = own.shift(-1 - spec.label.mature_after_days).reaching_back(spec.measured_again_days - 1)
            self.stage("performance", mature, on, only_stale=True)
            if self.stage("govern", own, on).decision == "retrain":
                self.train(day, on)

    def ask(self, day: date, asked: str, params: dict[str, Any] | None = None, **why: Any) -> None:
        """The DAG train by schedule or by hand."""
        options = {"asked": asked, "training": f"{asked}-{day}", **why}
        if self.stage("govern", Partitions(day, day), day, **options).decision == "retrain":
            self.train(day, day, params)

    def train(self, as_of: date, on: date, params: dict[str, Any] | None = None) -> None:
        """The DAG train. When the gate refuses a candidate, it sends a message and the champion stays."""
        windows = training_windows(self.pipeline.spec, as_of)
        with suppress(ContrailError):
            version = self.stage("train", windows.train, on, params=params or {}).model_version
            self.stage("promote", windows.gate, on, model=version)

    def stage(self, verb: str, days: Partitions, on: date, **options: Any) -> Any:
        """One stage; its result's details."""
        run = {"run_id": f"{verb}-{on}", "options": options}
        return self._task(verb, str(days), on, lambda: run_stage(verb, PIPELINE, days, **run).details)

    def _late(self, day: date) -> LateDetails:
        return correct(Backfills(self.pipeline, settings(), self.lake), day, f"late-{day}")

    def _task(self, verb: str, days: str, on: date, work: Callable[[], StageDetails]) -> StageDetails:
        """Do the work, and keep the message that its task in Airflow would send."""
        where = f"{PIPELINE} {verb} {days}"
        try:
            details = work()
        except ContrailError as error:
            self.told.append((on, of_failure(where, error.exit_code, str(error))))
            raise
        if message := of_result(where, PIPELINE, details):
            self.told.append((on, message))
        return details

    def _is_training_day(self, day: date) -> bool:
        cron, midnight = self.pipeline.spec.schedule.train, datetime(day.year, day.month, day.day)
        return bool(cron) and croniter(cron, midnight - timedelta(seconds=1)).get_next(datetime).date() == day

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of an analyst's query. There are none while the table does not exist yet."""
        with self.lake.connect() as connection, suppress(duckdb.CatalogException):
            return list(connection.sql(query).fetchall())
        return []


@contextmanager
def _own_home() -> Iterator[None]:
    """An empty home for this process."""
    before = os.environ.get("CONTRAIL_HOME")
    shutil.rmtree(HOME, ignore_errors=True)
    os.environ["CONTRAIL_HOME"] = str(HOME)
    settings.cache_clear()
    yield
    os.environ.pop("CONTRAIL_HOME")
    os.environ |= {"CONTRAIL_HOME": before} if before else {}
    settings.cache_clear()


# ---- the story ----

_Event = tuple[date, str]
_TO_DO = ("    ", "  contrail ", "  report: ")  # of a refusal: places and commands


def _story(simulation: Simulation) -> list[str]:
    """A line for each event, in the order of days, and one for each stretch of days without any."""
    sources = (_unusual_days, _drift_ends, _governor, _told, _corrections, _replayed)  # the order within a day
    events = [event for source in sources for event in source(simulation) if event[0] in QUARTER]
    lines, quiet = [], QUARTER.start
    for day in sorted({day for day, _ in events}):
        lines += [*_quiet(simulation, quiet, day - DAY), *(f"{day} {words}" for when, words in events if when == day)]
        quiet = day + DAY
    return [*lines, *_quiet(simulation, quiet, QUARTER.end)]


def _quiet(simulation: Simulation, first: date, last: date) -> list[str]:
    if last < first:
        return []
    ((error,),) = simulation.sql(
        f"SELECT median(rmse) FROM performance WHERE partition_date BETWEEN '{first}' AND '{last}'"
    )
    days = (last - first).days + 1
    named = f"{first}" if days == 1 else f"{first}..{last}"
    measured = f", off by {error:,.0f} rides an hour (rmse, median day)" if error is not None else ""
    return [f"{named} … {days} day{'s' if days > 1 else ''} without news{measured}"]


def _told(simulation: Simulation) -> Iterator[_Event]:
    """The messages. A long one shows what happened, not what to do."""
    for day, message in simulation.told:
        first, *others = message.happened.splitlines()
        found = [line.strip() for line in others if line.startswith("  ") and not line.startswith(_TO_DO)]
        yield day, f"{message.kind}, {message.where.removeprefix(PIPELINE).strip()}: {' '.join([first, *found])}"


def _unusual_days(simulation: Simulation) -> Iterator[_Event]:
    """Days that were unusual, up to the one that raises drift."""
    query = """
        WITH days AS (
            SELECT partition_date, verdict, unusual_days, unusual, lag(verdict) OVER (ORDER BY partition_date) AS before
            FROM drift WHERE feature = '*' QUALIFY unusual AND before IS DISTINCT FROM 'drift'
        )
        SELECT partition_date, days.verdict, days.unusual_days, list(feature ORDER BY value / threshold DESC)[:3]
        FROM days JOIN drift USING (partition_date) WHERE feature <> '*' AND drift.unusual GROUP BY ALL ORDER BY 1"""
    of_days = simulation.pipeline.spec.drift.of_days
    for day, verdict, count, features in simulation.sql(query):
        yield day, f"unusual: {', '.join(features)}; {count} of the last {of_days} days, so the verdict is {verdict}"


def _drift_ends(simulation: Simulation) -> Iterator[_Event]:
    query = """
        SELECT partition_date, verdict, model_version, lag(verdict) OVER (ORDER BY partition_date) AS before
        FROM drift WHERE feature = '*' QUALIFY before = 'drift' AND verdict <> 'drift'"""
    for day, verdict, version, _ in simulation.sql(query):
        yield day, f"drift is over: {verdict} against the training window of version {version}"


def _governor(simulation: Simulation) -> Iterator[_Event]:
    """Each change of the governor's decision, and every decision to retrain."""
    before = "hold"
    for day, decision, reasons in simulation.sql("SELECT partition_date, decision, reasons FROM governor ORDER BY 1"):
        if decision == "retrain" or decision not in (before, "hold"):
            yield day, f"governor: {decision}, because {reasons.replace(chr(10), '; ')}"
        before = decision


def _corrections(simulation: Simulation) -> Iterator[_Event]:
    query = """
        SELECT run_id, published, cause, count(*), min(partition_date), max(partition_date), sum(rows_changed)
        FROM corrections GROUP BY ALL ORDER BY 1"""
    for run_id, table, cause, days, first, last, rows in simulation.sql(query):
        day = date.fromisoformat(run_id.removeprefix("late-"))
        yield day, f"corrections: {rows} rows of {table} on {days} days, {first} to {last}, because of {cause}"


def _replayed(simulation: Simulation) -> Iterator[_Event]:
    query = "SELECT DISTINCT partition_date, scoring_run FROM predictions ORDER BY 1"
    for day, run in simulation.sql(query):
        on = date.fromisoformat(run.removeprefix("score-"))
        if on > day:
            yield on, f"replayed: {day} has its predictions"


# ---- what must be in it ----


def _expectations(simulation: Simulation) -> dict[str, bool]:
    """What was planted, and whether the tables and messages tell of it."""

    def told(day: date, kind: str, words: str) -> bool:
        return any(on == day and m.kind == kind and words in m.happened for on, m in simulation.told)

    def found(query: str) -> bool:
        return bool(simulation.sql(query))

    governor = "SELECT 1 FROM governor WHERE decision ="
    strange = STRANGE + DAY
    ((champion,),) = simulation.sql(
        "SELECT version_after FROM model_history WHERE alias = 'champion' ORDER BY moved_at DESC LIMIT 1"
    )
    return {
        "Fahrenheit is refused": told(FAHRENHEIT + DAY, "refusal", f"weather {FAHRENHEIT}"),
        "its day is replayed": found(
            f"SELECT 1 FROM predictions WHERE partition_date = '{FAHRENHEIT + DAY}' "
            f"AND scoring_run = 'score-{FAHRENHEIT + 2 * DAY}'"
        ),
        "every day is predicted": not set(QUARTER)
        - {day for (day,) in simulation.sql("SELECT DISTINCT partition_date FROM predictions")},
        "more rides raise drift": any(told(MORE_FROM + n * DAY, "drift", "began to differ") for n in range(14)),
        "the governor waits for its cool-down": found(f"{governor} 'refused' AND reasons LIKE '%cool-down%'"),
        "the governor retrains": found(f"{governor} 'retrain' AND trigger = 'drift'"),
        "more rides have a champion that knows them": found(
            f"SELECT 1 FROM model_history WHERE alias = 'champion' AND partition_date > '{MORE_FROM}'"
        ),
        "the strange day is seen": found(
            f"SELECT 1 FROM drift WHERE partition_date = '{strange}' AND feature = '*' AND unusual"
        ),
        "the strange day retrains nothing": not found(
            f"{governor} 'retrain' AND partition_date BETWEEN '{strange}' AND '{strange + 7 * DAY}'"
        ),
        "the late file is told": told(PARTIAL + 5 * DAY, "late data", f"counts {PARTIAL}"),
        "the late file is a correction": found(f"SELECT 1 FROM corrections WHERE cause = 'counts {PARTIAL}'"),
        "the experiment is refused": told(EXPERIMENT, "refusal", "checks failed")
        and not told(EXPERIMENT, "promotion", f"version {champion} is champion"),
    }


def measure() -> str:
    """The quarter's story.

    Raises:
        SystemExit: if planted trouble has not had its consequence.
    """
    started = time.perf_counter()
    with _own_home():
        simulation = Simulation()
        feed = simulation.begin()
        begun = time.perf_counter()
        simulation.told.clear()
        for day in QUARTER:
            feed.deliver(day)
            simulation.day(day)
            print(f"  {day}: {time.perf_counter() - started:,.0f} s", flush=True)
        seconds = (time.perf_counter() - begun) / len(QUARTER)
        story = "\n".join(_story(simulation))
        if missing := [name for name, met in _expectations(simulation).items() if not met]:
            raise SystemExit(f"{story}\n\nThis did not happen: {'; '.join(missing)}")
    return (
        f"## A quarter, a day at a time\n\n{PIPELINE}, {QUARTER}, {seconds:.1f} s a day for its whole chain in one process. "
        f"Planted: weather in Fahrenheit ({FAHRENHEIT}); a cloudburst ({STRANGE}); {MORE - 1:.0%} more rides for good "
        f"(from {MORE_FROM}); half an afternoon that came late ({PARTIAL}); an experiment with bad parameters "
        f"({EXPERIMENT}). The rest comes from the tables and the messages.\n\n```\n{story}\n```\n"
    )

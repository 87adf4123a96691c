"""A year of monthly trainings of both pipelines, for the benchmark of policies.

Each training is made once for each seed, as ``__train`` would on the first day of a month, and predicts the rest of its
year. Any policy can then be replayed over the same predictions. What a policy decides does not belong here.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.harness import HOME, PROJECT, YEAR, environment
from benchmarks.trainings import Floats, Year, trained_predictions

FLIGHTS, BIKES = "flight_delay", "bike_demand"
# The wheel has more years of rides than the pipeline asks for.
_BIKES_HOME, _BIKES = PROJECT / ".contrail" / "bench-bikes", ("2010-09-21", "2019-08-31")
_KEPT = PROJECT / ".contrail" / "bench-policies"
# The first champion's day of each replay. flight_delay has one year, and a first training needs two months of it.
STARTS = {FLIGHTS: (date(2013, 4, 1),), BIKES: tuple(date(year, 1, 1) for year in range(2012, 2020))}


@dataclass(frozen=True)
class Model:
    """A training as of a day: the days that judge it, and what it and its baselines predict of the replay's rows.

    Predictions have shape (rows,), undefined before the gate's days.
    """

    as_of: date
    gate: tuple[date, date]
    mean: float
    predictions: Floats
    rate_table: Floats


@dataclass(frozen=True)
class Replay:
    """The labelled rows of a year with the models of its months, the first champion first."""

    spec: Any
    rows: pa.Table
    days: npt.NDArray[np.datetime64]
    labels: Floats
    models: tuple[Model, ...]

    def within(self, first: date, last: date) -> slice:
        """The rows of a range of days."""
        low, high = np.searchsorted(self.days, [np.datetime64(first), np.datetime64(last + timedelta(days=1))])
        return slice(int(low), int(high))

    @property
    def segments(self) -> list[tuple[slice, date, date]]:
        """The rows from each model's day to the day before the next model's, in order, with the first and last day."""
        begins = [model.as_of for model in self.models]
        ends = [*(day - timedelta(days=1) for day in begins[1:]), self.days[-1].astype("datetime64[D]").item()]
        return [(self.within(a, b), a, b) for a, b in zip(begins, ends, strict=True)]


def replays(name: str, seed: int) -> list[Replay]:
    """Every year of a pipeline with its monthly models of one seed. Models are kept, and not trained again."""
    every = _labelled(name)
    changed = hashlib.sha256(every.spec.train.model_dump_json().encode()).hexdigest()[:8]
    place = _KEPT / f"{name}-{changed}" / f"seed{seed}"
    return [_replay(every, seed, first, place) for first in STARTS[name]]


def _labelled(name: str) -> Year:
    """All labelled rows of a pipeline, in the order of their days."""
    home, span = (HOME, YEAR) if name == FLIGHTS else (_BIKES_HOME, _BIKES)
    os.environ["CONTRAIL_HOME"] = str(home)
    if name == BIKES:
        os.environ["CONTRAIL_PIPELINES"] = str(_prepared_bikes())
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.labels import read_training_rows
    from contrail.lake.lake import Lake
    from contrail.partitions import Partitions

    settings.cache_clear()
    spec = load_pipeline(name).spec
    rows = read_training_rows(Lake(settings(), name), spec, Partitions.parse(*span)).sort_by("partition_date")
    os.environ.pop("CONTRAIL_PIPELINES", None)
    settings.cache_clear()
    return Year(spec, rows.combine_chunks())


def _prepared_bikes() -> Path:
    """A copy of the pipeline that begins where its wheel does, with its features; made once."""
    pipelines = _BIKES_HOME / "pipelines"
    extra = {"CONTRAIL_HOME": str(_BIKES_HOME), "CONTRAIL_PIPELINES": str(pipelines)}
    if not (_BIKES_HOME / "prepared").exists():
        shutil.rmtree(_BIKES_HOME, ignore_errors=True)
        copied = shutil.copytree(PROJECT / "include" / "pipelines" / BIKES, pipelines / BIKES)
        text = (copied / "pipeline.yaml").read_text()
        (copied / "pipeline.yaml").write_text(
            text.replace("first_partition: 2018-01-01", f"first_partition: {_BIKES[0]}")
        )
        for verb in ("land", "ingest", "validate", "features"):
            subprocess.run(
                [sys.executable, "-m", "contrail", verb, "-p", BIKES, "--from", _BIKES[0], "--to", _BIKES[1]],
                env=environment(**extra), check=True,
            )  # fmt: skip
        (_BIKES_HOME / "prepared").touch()
    return pipelines


def _replay(every: Year, seed: int, first: date, place: Path) -> Replay:
    begins = first - timedelta(days=every.spec.gate.window_days)
    last = min(date(first.year, 12, 31), every.days.max().astype("datetime64[D]").item())
    year = every.between(begins, last)
    rows, days = every.rows.filter(pa.array(year)), every.days[year]
    months = [date(first.year, month, 1) for month in range(first.month, last.month + 1)]
    models = tuple(_model(every, seed, month, (begins, last), place) for month in months)
    return Replay(every.spec, rows, days, every.labels[year], models)


def _model(every: Year, seed: int, as_of: date, span: tuple[date, date], place: Path) -> Model:
    from contrail.config.training_windows import training_windows

    spec = every.spec.model_copy(update={"last_partition": None})
    windows = training_windows(spec, as_of)
    mature = spec.label.mature_after_days
    # What the cut-off of the day may see.
    gate = (windows.gate.start, min(windows.gate.end, as_of - timedelta(days=mature + 1)))
    path = place / f"{as_of}.npz"
    if not path.exists():
        print(f"  {spec.name} seed {seed}: a training as of {as_of}, on {windows.train}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _trained(every, seed, (windows.train.start, windows.train.end), (gate[0], span[1]))
        np.savez(path.with_suffix(".part.npz"), **found)
        path.with_suffix(".part.npz").rename(path)
    with np.load(path) as kept:
        before = int(every.between(span[0], gate[0] - timedelta(days=1)).sum())
        padded = (
            np.concatenate([np.full(before, np.nan), kept[one].astype(np.float64)]) for one in ("model", "rate_table")
        )
        return Model(as_of, gate, float(kept["mean"]), *padded)


def _trained(every: Year, seed: int, window: tuple[date, date], span: tuple[date, date]) -> Mapping[str, Any]:
    from contrail.methods.baselines import fit_rate_table

    later = every.between(*span)
    own = every.between(window[0], window[1] - timedelta(days=every.spec.label.mature_after_days))
    table = fit_rate_table([(every.rows.filter(pa.array(own)), every.labels[own])], every.spec.train.rate_table)
    return {
        "model": trained_predictions(every, window, later, {"seed": seed}).astype(np.float32),
        "rate_table": table.predict(every.rows.filter(pa.array(later))).astype(np.float32),
        "mean": table.overall,
    }

"""Trainings of flight_delay for the benchmarks of quality: the year's labelled rows, and predictions of later days."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.harness import HOME, PIPELINE, YEAR

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Year:
    """The labelled rows of the year, on days whose labels are mature. Arrays have shape (rows,)."""

    spec: Any
    rows: pa.Table

    @property
    def days(self) -> npt.NDArray[np.datetime64]:
        """Each row's partition."""
        return self.rows["partition_date"].to_numpy()

    @property
    def labels(self) -> Floats:
        """Each row's label."""
        return self.rows["label"].to_numpy()

    def between(self, first: date, last: date) -> Rows:
        """Which rows lie in a range of days."""
        return (self.days >= np.datetime64(first)) & (self.days <= np.datetime64(last))


def load_year() -> Year:
    """Read the rows from the benchmarks' lake."""
    os.environ["CONTRAIL_HOME"] = str(HOME)
    from contrail.config.pipeline import load_pipeline
    from contrail.config.settings import settings
    from contrail.lake.labels import read_training_rows
    from contrail.lake.lake import Lake
    from contrail.partitions import Partitions

    settings.cache_clear()
    spec = load_pipeline(PIPELINE).spec
    return Year(spec, read_training_rows(Lake(settings(), PIPELINE), spec, Partitions.parse(*YEAR)).combine_chunks())


def trained_predictions(year: Year, window: tuple[date, date], rows: Rows, changes: Mapping[str, Any]) -> Floats:
    """Train as the stage does, on the labels that were mature at the window's end, and predict rows.

    Args:
        year: All rows.
        window: The first and the last day of the training window.
        rows: The rows to predict.
        changes: Training settings that differ from the pipeline's.
    """
    import xgboost

    from contrail.methods.fit import Method, booster_params, fit_trees
    from contrail.methods.matrices import encode_window, predict, with_offset
    from contrail.methods.splits import split_window
    from contrail.partitions import Partitions

    train = year.spec.train.model_copy(update=dict(changes))
    chosen = year.between(window[0], window[1] - timedelta(days=year.spec.label.mature_after_days))
    data = with_offset(encode_window(year.rows.filter(pa.array(chosen)), year.spec), train, year.spec.task)
    masks = split_window(Partitions(*window), train.validation_days, train.embargo_days).masks(year.days[chosen])
    fitted = fit_trees(data, *masks, Method(train, booster_params(year.spec.task, train)))
    booster = xgboost.Booster(model_file=bytearray(fitted.model))
    later = encode_window(year.rows.filter(pa.array(rows)), year.spec, categories=data.categories)
    return predict(booster, replace(later, offset=data.offset), np.ones(int(rows.sum()), bool))

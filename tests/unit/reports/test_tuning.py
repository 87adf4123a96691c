"""The report of a search says what was found in words, numbers and pictures, and no more than the trials show."""

import base64
from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from contrail.config.energy import EnergySettings
from contrail.config.pipeline import load_pipeline
from contrail.config.tune_spec import Searched
from contrail.methods.energy import TrainingCost
from contrail.methods.folds import rolling_folds
from contrail.methods.intervals import Interval
from contrail.methods.study import FoldRecord, StudyRecord, TrialRecord
from contrail.partitions import Partitions
from contrail.reports.plot import Plot
from contrail.reports.tuning import TuningReport, render, with_candidate

SPACE = {"eta": Searched(low=0.01, high=0.3, log=True), "max_bin": Searched(choices=(16, 64))}
AT = datetime(2024, 3, 1, 12, tzinfo=UTC)


def fold(at: int, value: float) -> FoldRecord:
    resampled = base64.b64encode(np.full(11, value, np.float32).tobytes()).decode()
    curve = tuple((round_, value + 1 / round_) for round_ in range(1, 30))
    first = date(2024, 1, 29 + at)
    return FoldRecord(
        first=first, last=first, rows=600, rounds=20, value=value, seconds=1.0, fit=curve, validation=curve, resampled=resampled
    )  # fmt: skip


def trial(number: int, *values: float, worse_than: int | None = None, **params) -> TrialRecord:
    cost = TrainingCost(seconds=10.0 + number, core_seconds=20.0, gpu_seconds=0.0, workers=1, factors=EnergySettings())
    folds = tuple(fold(at, value) for at, value in enumerate(values))
    return TrialRecord(
        number=number, params=params, folds=folds, worse_than=worse_than, began=AT, ended=AT, cost=cost, threads=2, device="cpu"
    )  # fmt: skip


@pytest.fixture
def report(toy_home) -> TuningReport:
    spec = load_pipeline("toy").spec
    study = StudyRecord(
        name="S-1", pipeline="toy", first=date(2024, 1, 1), last=date(2024, 2, 9), metric="log_loss",
        made_of={"rows": "md5-of-rows"}, begun_at=AT, person="<b>ada</b>", mlflow_run="RUN",
    )  # fmt: skip
    days = Partitions(study.first, study.last)
    trials = (
        trial(0, 0.6, 0.62),
        trial(1, 0.5, 0.55, eta=0.02, max_bin=64),
        trial(2, 0.7, worse_than=1, eta=0.3, max_bin=16),
    )
    return TuningReport(
        spec=spec, study=study, space=SPACE, folds=rolling_folds(days, spec.train, spec.tune),
        trials=trials, wanted=5, best=1, gain=Interval(estimate=0.085, low=0.02, high=0.15, confidence=0.95),
        by_fold=[Interval(estimate=0.1, low=0.05, high=0.2, confidence=0.95)] * 2, importance={"eta": 0.75, "max_bin": 0.25},
        today={"eta": 0.2, "max_bin": 64}, own={"eta": 0.5, "max_bin": 256},
    )  # fmt: skip


def test_the_lead_says_how_sure_it_is(report):
    page = render(report)
    assert (
        "Trial 1 has a better log_loss than today&#39;s parameters, by 0.08500, 95% interval over days 0.02000 to"
        in page
    )
    assert "these days alone do not show" not in page
    unsure = replace(report, gain=Interval(estimate=0.01, low=-0.02, high=0.04, confidence=0.95))
    assert "The interval has 0 in it: these days alone do not show that it is better." in render(unsure)
    none = render(replace(report, best=0))
    assert "None of 2 other trials is better than today&#39;s parameters." in none
    assert "too hopeful" not in none


def test_a_page_names_a_failed_trial_and_the_version_that_was_trained_after_it(report):
    assert "<dt>Failed" not in render(report)
    failed = trial(3, eta=0.3).model_copy(update={"failed": "its trees diverged"})
    page = render(replace(report, trials=(*report.trials, failed)))
    for words in ("its trees diverged", "0 of 2", "no version was registered", "1 day lies between"):
        assert words in page
    named = with_candidate(page, "7", 1)
    assert "version 7, with the parameters of trial 1" in named
    assert "no version was registered" not in named
    assert "Only today&#39;s parameters were tried" in render(replace(report, trials=report.trials[:1], best=0))


def test_every_trial_is_there_with_why_it_ended(report):
    page = render(report)
    for words in ("3 of 5", "worse than 1", "1 of 2", "eta 0.3, max_bin 16", "1, the best", "0.52500"):
        assert words in page
    assert page.count("<figure") == 1 + 2 + 1 + 2  # importance, two parameters, the trials, two folds


def test_todays_values_are_as_they_are_where_a_picture_has_the_nearest(report):
    page = render(report)
    assert ">0.5<" in page.replace("\n", "")
    assert ">256<" in page.replace("\n", "")


def test_a_price_adds_what_it_cost(report):
    assert "Cost" not in render(report)
    page = render(replace(report, price=(0.01, "EUR")))
    assert "0.33 EUR" in page  # 33 seconds of three trials


def test_what_a_person_is_called_stays_text(report):
    assert "<b>ada</b>" not in render(report)


def test_a_plot_by_powers_has_its_round_numbers_in_place():
    plot = Plot((0.01, 1.0), (0.0, 1.0), powers=True)
    assert plot.at_x(0.1) == pytest.approx((plot.at_x(0.01) + plot.at_x(1.0)) / 2)
    frame = str(plot.frame("", ""))
    assert ">0.1<" in frame
    assert ">0.01<" in frame

import numpy as np
import pytest

from contrail.config.model_spec import TrainSpec
from contrail.config.tune_spec import TuneSpec
from contrail.methods.folds import rolling_folds
from contrail.methods.metrics import auc, log_loss, rmse
from contrail.methods.paired_days import FoldDays, gain, mean_of
from contrail.partitions import Partitions

FOLDS = rolling_folds(
    Partitions.parse("2024-01-01", "2024-02-29"),
    TrainSpec(validation_days=5, embargo_days=1, window_days=40),
    TuneSpec(folds=2, fold_days=14),
)


def rows(fold, seed=0):
    """Thirty rows a day, whose days have levels of their own."""
    rng = np.random.default_rng(seed)
    days = np.repeat(np.array([*fold.test], "datetime64[D]"), 30)
    level = np.repeat(rng.uniform(0.1, 0.6, len(fold.test)), 30)
    labels = (rng.random(len(days)) < level).astype(np.float64)
    return days, labels, level


def values(metric, shift=0.0, noise=0.0):
    found = FoldDays(metric, FOLDS)
    rng = np.random.default_rng(5)
    made = []
    for at, fold in enumerate(FOLDS):
        days, labels, level = rows(fold, at)
        made.append(
            found.values(fold, days, labels, np.clip(level + shift + noise * rng.normal(size=len(days)), 0.01, 0.99))
        )
    return made


@pytest.mark.parametrize(("metric", "of"), [("log_loss", log_loss), ("auc", auc), ("rmse", rmse)])
def test_the_first_value_is_the_metric_of_all_rows_of_the_fold(metric, of):
    days, labels, level = rows(FOLDS[0])
    found = FoldDays(metric, FOLDS).values(FOLDS[0], days, labels, level)
    assert found[0] == pytest.approx(of(labels, level))
    assert len(found) == 1001


def test_a_model_that_is_worse_on_every_day_is_worse_for_sure_although_days_differ_more():
    good, bad = values("log_loss"), values("log_loss", shift=0.3)
    found = gain("log_loss", bad, good, 0.95)
    assert found.high < 0
    assert gain("log_loss", good, bad, 0.95).low == pytest.approx(-found.high)
    spread = np.std(mean_of(good)[1:])
    assert found.high - found.low < 4 * spread  # pairs of days tell more than two intervals beside each other


def test_a_larger_auc_is_better():
    assert gain("auc", values("auc"), values("auc", noise=0.5), 0.95).low > 0


def test_models_are_compared_on_the_folds_that_both_have():
    good, bad = values("log_loss"), values("log_loss", shift=0.3)
    assert gain("log_loss", bad[:1], good, 0.95) == gain("log_loss", bad[:1], good[:1], 0.95)


def test_a_day_without_rows_is_no_error():
    days, labels, level = rows(FOLDS[0])
    some = days != days[0]
    found = FoldDays("log_loss", FOLDS).values(FOLDS[0], days[some], labels[some], level[some])
    assert np.isfinite(found[0])

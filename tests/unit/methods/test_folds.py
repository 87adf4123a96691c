from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.config.model_spec import TrainSpec
from contrail.config.tune_spec import TuneSpec
from contrail.errors import SpecError
from contrail.methods.folds import rolling_folds
from contrail.partitions import Partitions

days = st.integers(1, 30)


@given(st.integers(2, 6), days, days, st.integers(0, 5), st.integers(0, 40), st.sampled_from(["expanding", "rolling"]))
def test_every_fold_predicts_days_that_lie_an_embargo_after_all_that_it_learned_from(
    folds, fold_days, validation, embargo, more, window
):
    start = Partitions.parse("2024-01-01").start
    needed = folds * fold_days + 2 * embargo + validation + 1
    whole = Partitions(start, start + timedelta(days=needed + more - 1))
    train = TrainSpec(validation_days=validation, embargo_days=embargo, window_days=validation + embargo + 9)

    found = rolling_folds(whole, train, TuneSpec(folds=folds, fold_days=fold_days, window=window))

    assert [day for fold in found for day in fold.test] == [*whole][-folds * fold_days :]
    for fold in found:
        assert fold.split.fit.end + timedelta(days=embargo + 1) == fold.split.validation.start
        assert fold.train.end + timedelta(days=embargo + 1) == fold.test.start
        assert len(fold.split.validation) == validation
    assert found[0].train.start == whole.start
    lengths = {len(fold.train) for fold in found}
    assert len(lengths) == (1 if window == "rolling" else folds)


def test_too_few_days_are_refused_with_how_many_are_needed():
    train = TrainSpec(validation_days=7, embargo_days=1, window_days=40)
    with pytest.raises(SpecError, match=r"has 21 days, but the search needs 22: 2 folds of 6 days.*lower tune\.folds"):
        rolling_folds(Partitions.parse("2024-01-01", "2024-01-21"), train, TuneSpec(folds=2, fold_days=6))
    assert len(rolling_folds(Partitions.parse("2024-01-01", "2024-01-22"), train, TuneSpec(folds=2, fold_days=6))) == 2

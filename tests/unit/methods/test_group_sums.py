"""Sums of groups over sorted batches give the metrics that all rows at once give."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.judged import model_sums

from contrail.methods import metrics
from contrail.methods.calibration import by_stretch, spread
from contrail.methods.group_sums import GroupCodes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    task=st.sampled_from(["binary", "regression"]),
    distinct=st.sampled_from([1, 3, 40, 100_000]),
    rows=st.integers(1, 400),
    batch=st.sampled_from([1, 7, 64, 1000]),
    min_rows=st.sampled_from([1, 30]),
)
def test_they_are_those_of_all_rows_at_once(
    seed: int, task: str, distinct: int, rows: int, batch: int, min_rows: int
) -> None:
    rng = np.random.default_rng(seed)
    days = np.datetime64("2024-01-01") + rng.integers(0, 12, rows)
    predictions = rng.integers(1, distinct + 1, rows) / (distinct + 1)
    drawn = rng.random(rows) < predictions
    labels = drawn.astype(float) if task == "binary" else np.round(rng.normal(predictions), 1)
    groups = rng.choice(np.array(["B", "A", "(missing)", None], object), rows)
    sums = model_sums(task, days, labels, predictions, {"depot": groups}, period_days=5, batch=batch)  # type: ignore[arg-type]
    found = sums.groups["depot"].metrics(min_rows)
    expected = metrics.by_group(task, labels, predictions, groups, min_rows)  # type: ignore[arg-type]
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert list(found[name]) == list(values)
        assert found[name] == pytest.approx(values, abs=1e-12, nan_ok=True)
        if task == "binary":
            np.testing.assert_equal(found[name]["auc"], values["auc"])
    assert sums.days.spread() == pytest.approx(spread(labels, predictions), abs=1e-12)
    periods = by_stretch(task, labels, predictions, days, 5)  # type: ignore[arg-type]
    for own, period in zip(sums.days.periods(), periods, strict=True):
        left, right = own.model_dump(exclude={"interval"}), period.model_dump(exclude={"interval"})
        assert left == pytest.approx(right, abs=1e-12)
        assert (own.interval is None) == (period.interval is None)


@given(batches=st.lists(st.lists(st.sampled_from(["a", "b", "", "(missing)", None]), max_size=6), max_size=5))
def test_a_text_has_one_number_in_all_batches(batches: list[list[str | None]]) -> None:
    codes = GroupCodes()
    found = [codes.add(pa.chunked_array([pa.array(batch, pa.string())])) for batch in batches]
    names = list(codes.rows)
    texts = ["(missing)" if text is None else text for batch in batches for text in batch]
    assert [names[number] for batch in found for number in batch] == texts
    assert {name: rows for name, rows in codes.rows.items() if rows} == {text: texts.count(text) for text in texts}


def test_no_rows_have_no_metrics() -> None:
    none = np.zeros(0)
    sums = model_sums("binary", none.astype("datetime64[D]"), none, none, {"depot": none.astype(object)})
    values, intervals = sums.days.pooled()
    assert all(np.isnan(value) for value in values.values()) and not intervals
    assert sums.days.periods() == () and sums.days.finite and sums.groups["depot"].metrics() == {}

"""Predictions by day: what the stages published, counted again by hand."""

from datetime import date

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.errors import SpecError
from contrail.operations.prediction_days import prediction_days
from contrail.operations.prediction_segments import Segment
from contrail.partitions import Partitions

DAYS = Partitions(date(2024, 2, 1), date(2024, 2, 5))


def _fill(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-02-05")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")
    for verb in ("score", "drift", "performance"):
        toy.run(verb, "2024-02-01", "2024-02-05")


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(_fill)


def test_scores_and_decisions_are_those_of_the_rows(scored: Toy) -> None:
    found = prediction_days(scored.lake, scored.pipeline)
    assert [one.day for one in found.scored] == list(DAYS)
    sql = (
        "SELECT partition_date, count(*), avg(probability), median(probability), avg(decision::INT) "
        "FROM predictions GROUP BY 1 ORDER BY 1"
    )
    for one, (day, rows, mean, median, share) in zip(found.scored, scored.sql(sql), strict=True):
        assert (one.day, one.rows, one.versions) == (day, rows, ("1",))
        assert (one.mean, one.quantiles[2], one.share) == pytest.approx((mean, median, share))
        assert list(one.quantiles) == sorted(one.quantiles)


def test_quality_and_drift_are_those_that_the_stages_measured(scored: Toy) -> None:
    found = prediction_days(scored.lake, scored.pipeline)
    assert found.metric == "log_loss"
    (day, labelled, log_loss, baseline), *_ = scored.sql(
        "SELECT partition_date, labelled, log_loss, baseline_log_loss FROM performance ORDER BY 1"
    )
    one = found.measured[0]
    assert (one.day, one.labelled, one.metric, one.baseline) == (day, labelled, log_loss, baseline)
    assert [one.day for one in found.drift] == list(DAYS)
    smallest = "least(value / threshold, effect / effect_threshold, from_window / from_window_threshold)"
    sql = f"SELECT {smallest} FROM drift WHERE feature = 'weight' AND partition_date = '2024-02-01'"
    assert found.drift[0].values[found.features.index("weight")] == pytest.approx(scored.sql(sql)[0][0], abs=1e-3)
    assert {one.verdict for one in found.drift} <= {"ok", "watch", "drift"}


def test_a_span_takes_the_last_days(scored: Toy) -> None:
    found = prediction_days(scored.lake, scored.pipeline, date(2024, 2, 3), 2)
    assert [one.day for one in found.scored] == [date(2024, 2, 2), date(2024, 2, 3)]
    assert (found.first, found.last) == (DAYS.start, DAYS.end)
    assert len(prediction_days(scored.lake, scored.pipeline, date(2020, 1, 1), 2).scored) == 1


def test_a_segment_is_the_rows_of_its_value_and_all_of_them_are_the_days(scored: Toy) -> None:
    whole = prediction_days(scored.lake, scored.pipeline)
    parts = [prediction_days(scored.lake, scored.pipeline, segment=Segment(name="depot", value=one)) for one in "ABC"]
    for at, day in enumerate(whole.scored):
        own = [part.scored[at] for part in parts]
        assert {one.day for one in own} == {day.day}
        assert sum(one.rows for one in own) == day.rows
        assert sum(one.rows * one.mean for one in own) / day.rows == pytest.approx(day.mean)
    for at, measured in enumerate(whole.measured):
        quality = [part.measured[at] for part in parts]
        assert sum(one.labelled for one in quality) == measured.labelled
        # A log loss is a mean over rows, so that of the day is the mean of the depots'.
        pooled = sum(one.labelled * (one.metric or 0) for one in quality) / measured.labelled
        assert pooled == pytest.approx(measured.metric)
    assert len(whole.measured) > 1
    assert all(part.drift == () and part.marks == whole.marks for part in parts)


def test_a_segment_without_predictions_has_no_days(scored: Toy) -> None:
    found = prediction_days(scored.lake, scored.pipeline, segment=Segment(name="depot", value="'; DROP TABLE x; --"))
    assert (found.scored, found.measured) == ((), ())
    with pytest.raises(SpecError, match="no segment 'weight'"):
        prediction_days(scored.lake, scored.pipeline, segment=Segment(name="weight", value="1"))

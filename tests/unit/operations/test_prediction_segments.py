"""Predictions by the values of a category, counted again by hand."""

import numpy as np
import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import skip_what_only_train_needs
from tests.unit.operations.test_prediction_days import DAYS, _fill

from contrail.errors import SpecError
from contrail.methods import metrics
from contrail.operations.prediction_days import prediction_days
from contrail.operations.prediction_segments import groups
from contrail.partitions import Partitions


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(_fill)


def test_a_day_by_segment_adds_up_to_the_day(scored: Toy) -> None:
    day = Partitions(DAYS.end, DAYS.end)
    found = groups(scored.lake, scored.pipeline, "depot", day)
    whole = prediction_days(scored.lake, scored.pipeline).scored[-1]
    assert sum(group.rows for group in found) == whole.rows
    assert sum(group.rows * group.mean for group in found) / whole.rows == pytest.approx(whole.mean)
    assert [group.rows for group in found] == sorted((group.rows for group in found), reverse=True)
    assert {group.quality for group in found} == {None}, "its outcomes are not due yet"
    for name in ("weight", 'depot" FROM features; --', "customer"):
        with pytest.raises(SpecError, match="no segment"):
            groups(scored.lake, scored.pipeline, name, day)


def test_the_quality_of_a_value_is_that_of_its_rows_with_an_outcome(scored: Toy) -> None:
    found = {group.value: group for group in groups(scored.lake, scored.pipeline, "depot", DAYS)}
    joined = (
        "SELECT probability, (delay > 15)::INT FROM predictions JOIN features USING (partition_date, ship_date, parcel) "
        "JOIN (SELECT ship_date, parcel, delay FROM validated_deliveries) USING (ship_date, parcel) "
        "WHERE depot = '{}' AND partition_date <= '{}'"
    )
    due = max(one.day for one in prediction_days(scored.lake, scored.pipeline).measured)
    for value in "ABC":
        rows = np.array(scored.sql(joined.format(value, due)), float)
        quality = found[value].quality
        assert quality
        assert quality.labelled == len(rows)
        assert quality.rows < found[value].rows, "some days are not due yet"
        assert (quality.prediction_mean, quality.label_mean) == pytest.approx(tuple(rows.mean(axis=0)))
        assert quality.metric == pytest.approx(metrics.evaluate("binary", rows[:, 1], rows[:, 0])["log_loss"])
    assert due < DAYS.end

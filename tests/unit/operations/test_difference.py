"""Two snapshots of the same partitions compared: rows, scores and decisions, a day at a time."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.lake.provenance import Provenance
from contrail.operations.difference import difference
from contrail.partitions import Partitions
from contrail.reports.backfill_record import TableDifference

FIRST, SECOND = date(2024, 1, 5), date(2024, 1, 6)
DAYS = Partitions(FIRST, SECOND)
BY_HAND = Provenance(run_id="r", stage="score", pipeline_hash="", code_revision="", lock_hash="")


def publish_predictions(toy, scores: dict[date, dict[int, float]], version: str) -> int:
    """Publish these scores by day and parcel; every day that is named is replaced."""
    dataset = datasets.predictions(toy.spec)
    receipt = {
        "model_name": "toy",
        "model_version": version,
        "feature_snapshot": 1,
        "scoring_run": "r",
        "scored_at": datetime(2024, 1, 7, tzinfo=UTC),
    }
    rows = [
        {"partition_date": day, "ship_date": day, "parcel": parcel, "probability": p, "decision": p >= 0.5, **receipt}
        for day, own in scores.items()
        for parcel, p in own.items()
    ]
    table = pa.Table.from_pylist(rows, schema=dataset.arrow_schema())
    return toy.lake.publish(dataset, table, scores.keys(), BY_HAND)


def compare(toy, before, after, spec=None) -> TableDifference:
    found = difference(toy.lake, spec or toy.spec, DAYS, {"predictions": before}, {"predictions": after})
    assert list(found.tables) == ["predictions"]
    return found.tables["predictions"]


def test_rows_shifts_and_flips_are_counted_a_day(toy):
    before = publish_predictions(toy, {FIRST: {1: 0.2, 2: 0.4, 3: 0.6, 4: 0.9}, SECOND: {1: 0.1}}, "1")
    after = publish_predictions(toy, {FIRST: {1: 0.3, 2: 0.7, 3: 0.4, 5: 0.5}}, "2")
    found = compare(toy, before, after)
    first, second = found.days
    assert first.partition == "2024-01-05"
    counted = ("rows_before", "rows_after", "added", "removed", "changed", "flipped_to_true", "flipped_to_false")
    assert [getattr(first, name) for name in counted] == [4, 4, 1, 1, 3, 1, 1]
    assert first.mean_before == pytest.approx(0.525)
    assert first.mean_after == pytest.approx(0.475)
    # Parcels 1, 2 and 3 were there both times: +0.1, +0.3 and -0.2.
    assert first.mean_shift == pytest.approx(0.2 / 3)
    assert first.shift_p50 == pytest.approx(0.1)
    assert first.shift_p05 == pytest.approx(-0.17)
    assert first.shift_p95 == pytest.approx(0.28)
    assert first.largest_shift == pytest.approx(0.3)
    assert (first.versions_before, first.versions_after) == ("1", "2")
    assert [getattr(second, name) for name in counted] == [1, 1, 0, 0, 0, 0, 0]
    assert [getattr(found.total, name) for name in counted] == [5, 5, 1, 1, 3, 1, 1]
    assert found.total.versions_after == "1,2"
    assert (found.before, found.after) == (before, after)


def test_against_nothing_every_row_is_added_and_nothing_shifts(toy):
    after = publish_predictions(toy, {FIRST: {1: 0.2, 2: 0.9}}, "1")
    found = compare(toy, None, after)
    total = found.total
    assert (total.rows_before, total.added, total.mean_before, total.mean_shift) == (0, 2, None, None)
    assert total.flipped_to_true == 0, "a decision that is new has not flipped"
    assert compare(toy, after, after).total.changed == 0


def test_days_outside_the_range_do_not_count(toy):
    before = publish_predictions(toy, {FIRST: {1: 0.2}}, "1")
    after = publish_predictions(toy, {SECOND + timedelta(days=1): {1: 0.2}}, "1")
    assert compare(toy, before, after).total.rows_after == 1


def test_features_are_compared_by_value(toy):
    dataset = datasets.features(toy.spec)
    cutoff = datetime(2024, 1, 5, tzinfo=UTC)

    def publish(values: dict[int, float | None]) -> int:
        rows = [
            {"partition_date": FIRST, "ship_date": FIRST, "parcel": parcel, "cutoff_at": cutoff, "weight": weight}
            for parcel, weight in values.items()
        ]
        return toy.lake.publish(dataset, pa.Table.from_pylist(rows, schema=dataset.arrow_schema()), [FIRST], BY_HAND)

    before = publish({1: 1.0, 2: None, 3: None, 4: 4.0})
    after = publish({1: 1.5, 2: 2.0, 3: None})
    total = difference(toy.lake, toy.spec, DAYS, {"features": before}, {"features": after}).features.total
    assert (total.changed, total.removed, total.added) == (2, 1, 0)


def test_a_snapshot_that_has_expired_is_named(toy):
    after = publish_predictions(toy, {FIRST: {1: 0.2}}, "1")
    with pytest.raises(MissingInputError, match=r"toy\.predictions has no snapshot 42, or it has expired"):
        compare(toy, 42, after)

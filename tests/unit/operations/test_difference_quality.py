"""Whether new predictions are better is said on the rows whose outcome is known."""

from datetime import timedelta

import numpy as np
import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_toy, rows_of
from tests.unit.operations.test_difference import DAYS, FIRST, SECOND, publish_predictions

from contrail.methods.metrics import evaluate
from contrail.operations.difference import difference
from contrail.reports.backfill_record import Quality
from contrail.reports.difference import quality_sentence, summary

SCORES = {parcel: 0.1 + 0.8 * (parcel % 7) / 6 for parcel in range(60)}


def labels_of_two_days(toy: Toy) -> None:
    """The labels of the first day are mature, those of the second are not."""
    publish_toy(toy, str(FIRST), str(SECOND))


@pytest.fixture
def labelled(prepared: Prepare) -> Toy:
    return prepared(labels_of_two_days)


def test_both_sides_are_measured_on_the_rows_whose_outcome_is_known(labelled: Toy) -> None:
    rows = rows_of(DAYS)
    labels = (rows[rows["partition_date"] == FIRST].set_index("parcel")["delay"] > 15).astype(float)
    better = {parcel: 0.6 if labels[parcel] else score for parcel, score in SCORES.items()}
    before = publish_predictions(labelled, {FIRST: SCORES, SECOND: SCORES}, "1")
    after = publish_predictions(labelled, {FIRST: better, SECOND: better}, "2")
    found = difference(labelled.lake, labelled.spec, DAYS, {"predictions": before}, {"predictions": after})
    assert found.quality is not None
    assert found.quality.rows == 60
    for side, scores in ((found.quality.before, SCORES), (found.quality.after, better)):
        expected = evaluate("binary", labels.to_numpy(), np.array([scores[parcel] for parcel in labels.index]))
        assert side == pytest.approx(expected[found.quality.metric], abs=1e-9)
    late = labels[labels == 1].index
    assert found.quality.flipped == found.quality.flipped_right == sum(SCORES[parcel] < 0.5 for parcel in late) > 0
    assert summary(found)[0].startswith("better on 60 rows with known outcomes: log loss ")


def test_where_no_outcome_is_known_nothing_is_said(labelled: Toy) -> None:
    later = SECOND + timedelta(days=20)
    before = publish_predictions(labelled, {later: SCORES}, "1")
    after = publish_predictions(labelled, {later: SCORES}, "2")
    days = type(DAYS)(later, later)
    found = difference(labelled.lake, labelled.spec, days, {"predictions": before}, {"predictions": after})
    assert found.quality is None
    assert "quality" not in found.as_dict()


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (Quality(metric="log_loss", rows=12400, before=0.4357, after=0.4346, flipped=354, flipped_right=216),
         "better on 12,400 rows with known outcomes: log loss 0.4357 → 0.4346; 354 of their decisions flipped, "
         "61% for the better"),
        (Quality(metric="rmse", rows=9, before=1.0, after=2.0), "worse on 9 rows with known outcomes: rmse 1.0000 → 2.0000"),
        (Quality(metric="log_loss", rows=9, before=1.0, after=1.0, flipped=0, flipped_right=0),
         "the same on 9 rows with known outcomes: log loss 1.0000 → 1.0000"),
    ],
)  # fmt: skip
def test_the_verdict_is_a_sentence(quality: Quality, said: str) -> None:
    assert quality_sentence(quality) == said

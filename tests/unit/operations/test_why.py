"""Why a row has its score: what was published for it, computed again, and back to its landed files."""

from datetime import date, datetime, timedelta

import pytest
from tests.conftest import Toy
from tests.unit.operations.explained import CORRECTED, DAY

from contrail.adapters import mlflow_store
from contrail.errors import MissingInputError, SpecError
from contrail.operations import receipt
from contrail.operations.receipt import receipt_of
from contrail.operations.why import why
from contrail.operations.why_page import render

ON = date.fromisoformat(DAY)


def test_a_corrected_row_shows_both_scores_and_each_is_computed_again(answered: Toy) -> None:
    found = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON)
    before, after = found.published
    assert (before.prediction, after.prediction) == (before.prediction, found.receipt.prediction)
    assert before.prediction != after.prediction
    assert [one.same for one in found.published] == [True, True]
    assert (before.shown, after.shown) == (False, True)
    assert (before.cause, after.cause) == (None, f"parcels of {DAY}")
    assert before.published_at <= after.published_at
    (reasons,) = [one.reasons for one in found.published if one.shown]
    assert reasons == found.receipt.reasons


def test_a_row_that_no_correction_touched_has_its_scores_too(answered: Toy) -> None:
    found = why(answered.lake, answered.pipeline, {"parcel": 1}, ON)
    assert len({one.prediction for one in found.published}) == 1
    assert found.same
    assert "to the last bit" in found.verdict
    other = why(answered.lake, answered.pipeline, {"parcel": 1}, ON + timedelta(days=1))
    assert [one.scoring_run for one in other.published] == [other.receipt.scoring_run]


def test_as_of_a_moment_it_answers_for_what_readers_saw_then(answered: Toy) -> None:
    later, earlier = answered.lake.history("predictions")[:2]
    moment = datetime.fromtimestamp(
        answered.lake.table("predictions").snapshot_by_id(earlier.snapshot).timestamp_ms / 1000
    )
    then = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON, moment.astimezone())
    now = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON)
    assert [one.snapshot for one in then.published] == [earlier.snapshot]
    assert [one.snapshot for one in now.published] == [earlier.snapshot, later.snapshot]
    assert then.receipt.prediction == now.published[0].prediction != now.receipt.prediction
    assert then.same


def test_before_anything_was_published_it_says_when_the_first_was(answered: Toy) -> None:
    first = answered.lake.history("predictions")[-1].committed_at
    moment = datetime.fromisoformat("2024-01-01T00:00:00+00:00")
    with pytest.raises(
        MissingInputError, match=f"no predictions at 2024-01-01 00:00:00 UTC; the first .* {first[:10]}"
    ):
        why(answered.lake, answered.pipeline, {"parcel": 1}, ON, moment)


def test_without_a_day_it_takes_the_newest(answered: Toy) -> None:
    found = why(answered.lake, answered.pipeline, {"parcel": 3})
    assert str(found.receipt.partition) == "2024-02-10"
    by_date = why(answered.lake, answered.pipeline, {"parcel": 3, "ship_date": DAY})
    assert by_date.receipt.partition == ON
    with pytest.raises(MissingInputError, match=r"no prediction of any day with parcel=999; it has 2024-02-01"):
        why(answered.lake, answered.pipeline, {"parcel": 999})


def test_without_any_predictions_it_says_what_comes_next(toy: Toy) -> None:
    for day in (None, ON):
        with pytest.raises(MissingInputError, match="has none yet: contrail status -p toy"):
            why(toy.lake, toy.pipeline, {"parcel": 1}, day)


def test_a_score_that_does_not_come_out_again_is_told(answered: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = receipt.computed_again
    monkeypatch.setattr(receipt, "computed_again", lambda *given: (compute(*given)[0] + 1e-16, True))
    found = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": 1})
    assert found.same is False
    assert "contrail verify -p toy" in found.verdict
    monkeypatch.setattr(receipt, "computed_again", lambda *given: (compute(*given)[0], False))
    found = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": 1})
    assert (found.same_score, found.same) == (True, False)
    card = found.model_copy(update={"device": "cuda"})
    assert "by rounding" in card.verdict


def test_reasons_that_were_published_wrong_are_found(answered: Toy) -> None:
    rows = answered.lake.scan("predictions").to_pylist()
    row = next(row for row in rows if str(row["partition_date"]) == DAY and row["parcel"] == 1)
    right = receipt.trace(answered.pipeline, answered.lake, row, False).receipt
    assert right.same
    for change in ({"reason_1_value": "0"}, {"reason_2_contribution": row["reason_2_contribution"] * (1 + 2**-52)},
                   {"reason_1": "distance"}, {"probability": row["probability"] * (1 + 2**-52)}):  # fmt: skip
        assert receipt.trace(answered.pipeline, answered.lake, {**row, **change}, False).receipt.same is False, change


def test_where_the_model_of_an_earlier_score_is_gone_it_is_listed_all_the_same(answered: Toy) -> None:
    answered.run("train", "2024-01-01", "2024-02-01", params={"nthread": 1, "max_depth": 2})
    answered.run("score", DAY, model="2")
    mlflow_store.client(answered.settings).delete_model_version("toy", "1")
    found = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON)
    assert [one.same for one in found.published] == [None, None, True]
    assert "version" in found.published[0].verdict
    with pytest.raises(MissingInputError):
        why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON + timedelta(days=1))


def test_the_page_shows_text_as_text(answered: Toy) -> None:
    evil = "<script>alert(1)</script>"
    found = why(answered.lake, answered.pipeline, {"parcel": CORRECTED}, ON)
    (one, *others) = found.sources
    shown = one.shown[0].model_copy(update={"values": {"depot": evil}, "file": evil})
    page = render(found.model_copy(update={"sources": (one.model_copy(update={"shown": (shown,)}), *others)}))
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "default-src" in page
    assert f"parcels/{DAY}.2.csv.gz" in page


def test_a_key_may_be_written_in_any_type(answered: Toy) -> None:
    whole = receipt_of(answered.pipeline, answered.lake, ON, {"parcel": 7, "ship_date": ON})
    assert receipt_of(answered.pipeline, answered.lake, ON, {"parcel": "7"}) == whole
    with pytest.raises(SpecError, match=r"parcel of the key: '7\.5' is not a whole number"):
        receipt_of(answered.pipeline, answered.lake, ON, {"parcel": 7.5})

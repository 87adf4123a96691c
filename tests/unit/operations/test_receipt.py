"""A receipt names what made a prediction, also after the tables have changed."""

import re
from datetime import date
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_heavier, skip_what_only_train_needs
from tests.unit.lake.test_views import with_personal
from tests.unit.notebook.conftest import judged_and_scored

from contrail.config.personal import MASK
from contrail.config.pipeline import Pipeline
from contrail.errors import ContrailError
from contrail.lake.lake import Lake
from contrail.operations import one_prediction as module
from contrail.operations.one_prediction import one_prediction
from contrail.operations.receipt import receipt_of

DAY = date(2024, 3, 1)
KEY = {"parcel": 7}


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(judged_and_scored)


def test_a_receipt_names_model_features_code_and_run(scored: Toy) -> None:
    found = receipt_of(scored.pipeline, scored.lake, DAY, KEY)
    ((probability, run, snapshot),) = scored.sql(
        f"SELECT probability, scoring_run, feature_snapshot FROM predictions WHERE partition_date = '{DAY}' AND parcel = 7"
    )
    assert (found.prediction, found.scoring_run, found.features_snapshot) == (probability, run, snapshot)
    assert found.key == {"ship_date": DAY, "parcel": 7}
    assert found.model.version == "1"
    assert found.scoring is not None
    assert (found.scoring.run_id, found.scoring.inputs) == (run, {"features": snapshot})
    assert found.features is not None
    assert (found.features.snapshot, found.features.run_id) == (snapshot, "by-hand")
    assert found.same


def test_it_stays_that_of_the_features_that_were_scored(scored: Toy) -> None:
    before = receipt_of(scored.pipeline, scored.lake, DAY, KEY)
    publish_heavier(scored, str(DAY))
    assert receipt_of(scored.pipeline, scored.lake, DAY, KEY) == before
    scored.run("score", str(DAY))
    after = receipt_of(scored.pipeline, scored.lake, DAY, KEY)
    assert after.same
    assert after.features_snapshot != before.features_snapshot


def test_where_snapshots_have_expired_it_says_what_is_left(scored: Toy) -> None:
    scored.lake = Lake(scored.settings.model_copy(update={"snapshots_kept": 1}), "toy")
    publish_heavier(scored, str(DAY))  # a training has tagged the features before
    scored.run("score", str(DAY))
    for _ in range(3):
        publish_heavier(scored, str(DAY))
    found = receipt_of(scored.pipeline, scored.lake, DAY, KEY)
    assert (found.features, found.recomputed, found.same) == (None, None, None)
    assert found.scoring is not None


def test_a_reason_that_is_personal_has_no_value(scored: Toy) -> None:
    spec = with_personal(scored.spec, "parcels", "weight")
    pipeline = Pipeline(scored.pipeline.folder, spec)
    values = {one.feature: one.value for one in receipt_of(pipeline, scored.lake, DAY, KEY).reasons}
    seen = {one.feature: one.value for one in receipt_of(pipeline, scored.lake, DAY, KEY, personal=True).reasons}
    assert values.keys() == seen.keys()
    assert None not in seen.values()
    assert values == {name: None if name == "weight" else value for name, value in seen.items()}


def test_a_key_that_is_personal_is_shown_to_who_gave_it_or_asks(scored: Toy) -> None:
    pipeline = Pipeline(scored.pipeline.folder, with_personal(scored.spec, "parcels", "ship_date"))
    found = receipt_of(pipeline, scored.lake, DAY, KEY)
    assert found.key == {"ship_date": MASK, "parcel": 7}
    assert found.as_dict()["key"] == found.key
    assert "whole_key" not in found.as_dict()
    assert "whole_key" not in repr(found)
    assert found.same, "its row of features was found all the same"
    whole = {"ship_date": DAY, "parcel": 7}
    assert receipt_of(pipeline, scored.lake, DAY, whole).key == whole
    assert receipt_of(pipeline, scored.lake, DAY, KEY, personal=True).key == whole
    one = one_prediction(scored.lake, pipeline, DAY, KEY)
    assert (one.receipt.key, one.entity) == (found.key, {"parcel": 7})


def test_a_part_of_a_personal_key_leads_to_nobody_elses_predictions(
    scored: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = one_prediction(scored.lake, scored.pipeline, DAY, KEY)
    assert given.entity == {"parcel": 7} and given.past
    monkeypatch.setattr(module, "entity_columns", lambda _: ("ship_date", "parcel"))
    found = module.traced

    def hides(*arguments: Any, **named: Any) -> Any:
        traced = found(*arguments, **named)
        return traced._replace(receipt=traced.receipt.model_copy(update={"key": {"ship_date": DAY, "parcel": MASK}}))

    monkeypatch.setattr(module, "traced", hides)
    assert one_prediction(scored.lake, scored.pipeline, DAY, KEY).entity == {}


@pytest.mark.parametrize(("key", "told"), [
    ({"ship_date": "2024-03-01"}, "60 predictions of 2024-03-01 have ship_date=2024-03-01: ship_date=2024-03-01, parcel=•••;"),
    ({"parcel": "123456"}, "no prediction of 2024-03-01 with parcel=•••"),
    ({"parcel": "123456x"}, "parcel of the key: '•••'"),
])  # fmt: skip
def test_no_message_names_a_key_that_is_personal(scored: Toy, key: dict[str, str], told: str) -> None:
    pipeline = Pipeline(scored.pipeline.folder, with_personal(scored.spec, "parcels", "parcel"))
    with pytest.raises(ContrailError) as refused:
        receipt_of(pipeline, scored.lake, DAY, key)
    assert told in str(refused.value)
    assert not re.search(r"parcel=\d|123456", str(refused.value))
    if "parcel" in key:
        with pytest.raises(ContrailError) as refused:
            receipt_of(pipeline, scored.lake, None, key)
        assert "123456" not in str(refused.value)

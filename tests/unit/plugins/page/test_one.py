"""The view One prediction through its endpoints: the published score, what if, and what cannot be asked."""

import json
import math
import re
from datetime import date
from typing import Any

import httpx
import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import EVIL, Visit

from contrail.errors import MissingInputError
from contrail.operations import one_prediction as operation
from contrail.operations.one_prediction import find, one_prediction
from contrail.operations.what_if import flips_of
from contrail.operations.why import why
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted

DAY = "2024-02-26"


def ask(visit: Visit, key: Any, changes: Any = None) -> httpx.Response:
    asked = {"day": DAY, "key": json.dumps(key), **({"changes": json.dumps(changes)} if changes is not None else {})}
    return visit("analyst").get("api/toy/prediction", params=asked)


def test_where_nothing_is_changed_the_score_is_the_published_one_to_the_last_bit(toy_models: Toy) -> None:
    day = date.fromisoformat(DAY)
    found = find(toy_models.lake, toy_models.pipeline, day, "")
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found[::7]:
        plain = one_prediction(toy_models.lake, toy_models.pipeline, day, one.key)
        assert plain.changed is None
        assert plain.published is not None
        same = {effect.feature: effect.value for effect in plain.published.effects}
        again = one_prediction(toy_models.lake, toy_models.pipeline, day, one.key, same)
        assert again.changed == again.published == plain.published
        assert plain.published.score == plain.receipt.prediction == one.score
        assert plain.receipt.same
        parts = math.fsum(effect.contribution for effect in plain.published.effects)
        assert plain.published.raw == pytest.approx(plain.published.base + parts)
        assert 1 / (1 + math.exp(-plain.published.raw)) == pytest.approx(one.score, abs=1e-5)


def test_another_value_gives_the_score_of_the_models_own_package(visit: Visit, toy_models: Toy) -> None:
    found = ask(visit, {"parcel": "0"}, {"weight": 9.5, "depot": None}).json()
    features = toy_models.lake.scan("features", columns=None).to_pandas()
    row = features[(features["partition_date"].astype(str) == DAY) & (features["parcel"] == 0)].copy()
    row["weight"], row["depot"] = 9.5, None
    model = fitted(toy_models.spec, model_of(toy_models.settings, toy_models.lake, "2"))
    assert found["changed"]["score"] == float(model.package.predict(pa.Table.from_pandas(row))[0])
    assert found["changed"]["score"] != found["published"]["score"] == found["receipt"]["prediction"]
    values = {one["feature"]: one["value"] for one in found["changed"]["effects"]}
    assert (values["weight"], values["depot"]) == (9.5, None)
    assert found["choices"]["depot"] == ["A", "B", "C"]


def test_the_page_answers_why_and_what_would_flip_as_the_commands_do(visit: Visit, toy_models: Toy) -> None:
    asked = {"day": DAY, "key": json.dumps({"parcel": 0})}
    day = date.fromisoformat(DAY)
    answer = visit("analyst").get("api/toy/prediction/why", params=asked)
    found = why(toy_models.lake, toy_models.pipeline, {"parcel": 0}, day).as_dict()
    assert answer.json()["receipt"].pop("features_snapshot") == str(found["receipt"].pop("features_snapshot"))
    assert answer.json()["explained"] == found["explained"]
    assert [one["prediction"] for one in answer.json()["published"]] == [found["receipt"]["prediction"]]
    assert [one["table"] for one in answer.json()["sources"]] == list(toy_models.spec.tables)
    answer = visit("analyst").get("api/toy/prediction/flips", params=asked)
    assert answer.json() == flips_of(toy_models.lake, toy_models.pipeline, day, {"parcel": 0}).as_dict()
    assert ask(visit, {"parcel": "0"}).json()["verdict"].endswith("to the last bit.")


def test_the_same_entity_on_other_days(visit: Visit, toy_models: Toy) -> None:
    found = ask(visit, {"parcel": "0"}).json()
    assert found["entity"] == {"parcel": 0}
    assert [one["day"] for one in found["past"]] == ["2024-02-26", "2024-02-27", "2024-02-28"]
    assert {one["version"] for one in found["past"]} == {"2"}


def test_each_word_narrows_the_search(visit: Visit, toy_models: Toy) -> None:
    def found(text: str) -> list[dict[str, Any]]:
        return list(visit("analyst").get("api/toy/prediction/find", params={"day": DAY, "text": text}).json())

    assert len(found("")) == 50
    assert {one["key"]["parcel"] for one in found("17")} == {17}
    assert found(f"{DAY} 17") == found("17")
    assert found(EVIL) == found("17 nothing") == []


def test_a_key_of_more_bits_than_a_browser_keeps_can_be_asked_as_it_was_found(
    visit: Visit, toy_models: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = 2**53 + 1
    found = operation.Found(key={"ship_date": DAY, "parcel": large}, score=0.5, decision=True)
    monkeypatch.setattr(operation, "find", lambda *asked: (found,))
    (one,) = visit("analyst").get("api/toy/prediction/find", params={"day": DAY}).json()
    assert one["key"] == {"ship_date": DAY, "parcel": str(large)}
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(operation, "traced", lambda _, __, day, key, **___: asked.append(key) or _gone())
    assert ask(visit, one["key"]).status_code == 409
    assert [key["parcel"] for key in asked] == [str(large)]


def _gone() -> None:
    raise MissingInputError("gone")


def test_no_answer_has_a_number_that_a_browser_rounds(visit: Visit, toy_models: Toy) -> None:
    for path in ("models/1", "tables/features", "board", "predictions"):
        numbers = re.findall(r"[:\[,](\d{16,})[,}\]]", visit("analyst").get(f"api/toy/{path}").text)
        assert not numbers, path


@pytest.mark.parametrize(("changes", "said"), [
    ({"wieght": 1}, "'wieght' is no feature of the model; did you mean 'weight'?"),
    ({"depot": "Z"}, "the model does not know depot='Z'"),
    ({"weight": "heavy"}, "weight cannot be 'heavy'"),
    ({"depot": 5}, "the model does not know depot=5"),
])  # fmt: skip
def test_a_value_that_a_feature_cannot_have_is_told(
    changes: dict[str, Any], said: str, visit: Visit, toy_models: Toy
) -> None:
    answer = ask(visit, {"parcel": "0"}, changes)
    assert answer.status_code == 400
    assert said.lower() in answer.json()["detail"].lower()


@pytest.mark.parametrize("key", ["no json", "[]", '"0"', '{"parcel": {"a": 1}}'])
def test_a_key_that_is_no_object_is_refused(key: str, visit: Visit, toy_models: Toy) -> None:
    answer = visit("analyst").get("api/toy/prediction", params={"day": DAY, "key": key})
    assert answer.status_code == 422


@pytest.mark.parametrize(("key", "status"), [
    ({"parcel": "999999"}, 409), ({"parcel": EVIL}, 400), ({"parcle": "0"}, 400), ({}, 400),
])  # fmt: skip
def test_a_key_that_names_no_prediction_or_several_is_told(
    key: dict[str, str], status: int, visit: Visit, toy_models: Toy
) -> None:
    answer = ask(visit, key)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]

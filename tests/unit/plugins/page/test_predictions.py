"""The view Predictions through its endpoints: all predictions, and those of a segment."""

from tests.conftest import Toy
from tests.unit.plugins.page.conftest import EVIL, Visit


def test_a_segment_has_an_address_of_its_own(visit: Visit, toy_models: Toy) -> None:
    whole = visit("analyst").get("api/toy/predictions").json()
    assert (whole["segment"], whole["segments"]) == (None, ["depot"])
    of = [visit("analyst").get("api/toy/predictions", params={"by": "depot", "of": one}).json() for one in "ABC"]
    assert [one["segment"] for one in of] == [{"name": "depot", "value": value} for value in "ABC"]
    rows = [sum(day["rows"] for day in one["scored"]) for one in of]
    assert sum(rows) == sum(day["rows"] for day in whole["scored"])
    groups = visit("analyst").get(
        "api/toy/predictions/segment", params={"name": "depot", "first": "2024-02-26", "last": "2024-02-28"}
    )
    assert {group["value"]: group["rows"] for group in groups.json()} == dict(zip("ABC", rows, strict=True))
    assert all(group["quality"]["labelled"] <= group["quality"]["rows"] for group in groups.json())


def test_a_segment_that_is_none_is_refused_in_words(visit: Visit, toy_models: Toy) -> None:
    for name in ("weight", EVIL):
        answer = visit("analyst").get("api/toy/predictions", params={"by": name, "of": "1"})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
        assert f"no segment '{name}'. Segments: depot" in answer.json()["detail"]
    unknown = visit("analyst").get("api/toy/predictions", params={"by": "depot", "of": EVIL}).json()
    assert (unknown["scored"], unknown["segment"]["value"]) == ([], EVIL)


def test_days_are_shown_with_their_estimate_and_none_is_made_up(visit: Visit, toy_models: Toy) -> None:
    asked = "api/toy/predictions"
    assert visit("analyst").get(asked).json()["estimated"] == []
    toy_models.run("performance", "2024-02-26", "2024-02-28")
    found = visit("analyst").get(asked).json()
    days = [(one["day"], one["metric"]) for one in found["estimated"]]
    assert days == [(day["day"], found["metric"]) for day in found["scored"]]
    assert all(one["estimate"] > 0 for one in found["estimated"])
    assert {(one["low"], one["high"]) for one in found["estimated"]} == {(None, None)}, "too few days have labels"
    of_segment = visit("analyst").get(asked, params={"by": "depot", "of": "A"}).json()
    assert of_segment["estimated"] == []

"""The view Board through its endpoints: states, the card of a refusal, and the plan of a backfill."""

import gzip

from tests.conftest import Toy
from tests.landed import landed_path
from tests.unit.plugins.page.conftest import Visit

from contrail_airflow.page.guard import MARK

EVIL = "<script>alert(1)</script>"
OURS = {MARK: "1"}


def test_the_board_has_a_cell_for_each_stage_of_each_day(visit: Visit, toy_page: Toy) -> None:
    board = visit("analyst").get("api/toy/board", params={"last": "2024-01-12", "span": 5}).json()
    assert [day["day"] for day in board["days"]] == [f"2024-01-{day:02}" for day in range(8, 13)]
    assert board["stages"] == ["ingest", "validate", "features", "score", "drift", "performance"]
    features = board["days"][0]["cells"][2]
    assert (features["state"], features["rows"]) == ("ok", 60)
    assert features["run"] and features["at"]
    assert board["days"][0]["cells"][3] == {"state": "missing"}
    assert (board["first"], board["last"]) == ("2024-01-01", "2024-03-10")


def test_a_card_shows_what_broke_with_file_and_line_as_text(visit: Visit, toy_page: Toy) -> None:
    path = landed_path(toy_page, "parcels", "2024-01-12")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    at = lines[0].split(",").index("depot")
    broken = [line.split(",") for line in lines[1:]]
    broken[0][at] = EVIL
    text = "\n".join([lines[0], *(",".join(row) for row in broken)]) + "\n"
    landed_path(toy_page, "parcels", "2024-01-12", revision=2).write_bytes(gzip.compress(text.encode()))
    toy_page.run("ingest", "2024-01-12")
    toy_page.run("validate", "2024-01-12")

    answer = visit("analyst").get("api/toy/board/2024-01-12/validate")
    card = answer.json()
    assert answer.headers["content-type"] == "application/json"
    rule = next(one for one in card["broken"] if one["table"] == "parcels")
    assert (rule["table"], rule["rows"]) == ("parcels", 1)
    assert EVIL in rule["samples"][0]["row"]
    assert rule["samples"][0]["line"] == 2
    assert rule["samples"][0]["file"].endswith("2024-01-12.2.csv.gz")
    board = visit("analyst").get("api/toy/board", params={"last": "2024-01-12", "span": 3}).json()
    assert [concern["stage"] for concern in board["concerns"]] == ["features"]
    assert board["commands"][0].startswith("contrail backfill -p toy --from 2024-01-12")


def test_a_refused_file_says_its_rule_and_what_to_do(visit: Visit, toy_page: Toy) -> None:
    whole = landed_path(toy_page, "parcels", "2024-01-12").read_bytes()
    landed_path(toy_page, "parcels", "2024-01-12", revision=2).write_bytes(whole[:300])
    try:
        toy_page.run("ingest", "2024-01-12")
    except Exception as error:
        assert "truncated_gzip" in str(error)
    card = visit("analyst").get("api/toy/board/2024-01-12/ingest").json()
    assert card["cell"]["state"] == "refused"
    assert "parcels: truncated_gzip" in card["sentence"]
    (refusal,) = card["refusals"]
    assert refusal["file"].endswith("2024-01-12.2.csv.gz")
    assert card["commands"][0] == "contrail ingest -p toy --from 2024-01-12 --to 2024-01-12"


def test_a_plan_names_exactly_the_days_and_the_configuration_that_does_it(visit: Visit, toy_page: Toy) -> None:
    asked = {"first": "2024-01-12", "last": "2024-01-13", "stages": ["ingest", "validate", "features"]}
    answer = visit("scientist").post("api/toy/plan", json=asked, headers=OURS).json()
    assert answer["plan"]["days"] == 2
    assert answer["dag_id"] == "toy__backfill"
    assert answer["conf"] == {
        "from": "2024-01-12", "to": "2024-01-13", "stages": asked["stages"], "model": "champion", "commits": "whole",
    }  # fmt: skip


def test_a_wrong_question_is_answered_in_words(visit: Visit, toy_page: Toy) -> None:
    scientist = visit("scientist")
    reversed_days = {"first": "2024-01-12", "last": "2024-01-10"}
    answer = scientist.post("api/toy/plan", json=reversed_days, headers=OURS)
    assert (answer.status_code, answer.json()["detail"]) == (
        400, "the range ends before it starts: its first day is 2024-01-12, its last 2024-01-10",
    )  # fmt: skip
    no_model = scientist.post("api/toy/plan", json={"first": "2024-01-10", "last": "2024-01-12"}, headers=OURS)
    assert no_model.status_code == 409
    assert "contrail promote" in no_model.json()["detail"]
    assert scientist.get("api/toy/board/2024-01-12/nothing").status_code == 400
    assert scientist.get("api/toy/board/2031-01-12/score").status_code == 400
    assert scientist.get("api/toy/board", params={"span": 100_000}).status_code == 422


def test_the_board_knows_what_happened_to_models(visit: Visit, toy_models: Toy) -> None:
    answer = visit("analyst").get("api/toy/board/events")
    assert answer.headers["content-type"] == "application/json"
    found = {(one["decision"], one["version"]): one for one in answer.json()}
    assert found.keys() == {("trained", "1"), ("trained", "2"), ("promoted", "1"), ("refused", "2")}
    trained, promoted, refused = (found[name] for name in (("trained", "1"), ("promoted", "1"), ("refused", "2")))
    assert (trained["day"], trained["person"], trained["reason"]) == ("2024-01-31", "ada", EVIL)
    assert (promoted["day"], promoted["person"], promoted["reason"]) == ("2024-02-25", "grace", "the first")
    assert (refused["stage"], refused["days"]) == ("promote", "2024-02-11..2024-02-24")

"""The view Models through its endpoints: champions, evidence beside the champion's, and the plan of a rollback."""

from pathlib import Path

import pytest
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import EVIL, Visit

from contrail.config.settings import settings
from contrail.lake.model_history import read_moves
from contrail_airflow.dags.rollback import rollback
from contrail_airflow.local.embedded import Embedded
from contrail_airflow.local.processes import this_process
from contrail_airflow.local.state import State
from contrail_airflow.page import models
from contrail_airflow.roles import ROLES


def test_before_a_training_it_says_what_to_do_first(visit: Visit, toy_page: Toy) -> None:
    found = visit("analyst").get("api/toy/models").json()
    assert (found["champion"], found["versions"], found["reigns"]) == (None, [], [])
    assert found["commands"] == ["contrail train -p toy", "contrail promote -p toy"]


def test_versions_say_who_asked_for_them_and_what_the_gate_said(visit: Visit, toy_models: Toy) -> None:
    answer = visit("analyst").get("api/toy/models")
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    second, first = found["versions"]
    assert (first["standing"], first["decision"], first["request"]["reason"]) == ("champion", "pass", EVIL)
    assert (second["standing"], second["decision"], second["window"]) == (
        "refused",
        "refused",
        "2024-01-01..2024-02-08",
    )
    assert found["reigns"] == [{"version": "1", "since": "2024-02-25", "until": None}]
    assert (found["last"], found["note"]) == ("2024-02-28", "")
    assert {(move["alias"], move["person"], move["reason"]) for move in found["moves"]} >= {
        ("champion", "grace", "the first")
    }


def test_evidence_lies_beside_the_champions(visit: Visit, toy_models: Toy) -> None:
    found = visit("analyst").get("api/toy/models/2").json()
    record, own, champion = found["record"], found["own"], found["champion"]
    assert (record["verdict"], record["person"], record["reason"]) == ("refused", "grace", EVIL)
    assert {"challenger", "champion"} <= record["metrics"].keys()
    assert record["intervals"]["challenger"]["auc"]["low"] < record["metrics"]["challenger"]["auc"]
    assert [check["passed"] for check in record["checks"]].count(False) >= 1
    assert record["segments"]["depot"][0]["champion"]
    assert (own["parameters"]["max_depth"], own["version"], champion["version"]) == (3, "2", "1")
    assert own["window"] != champion["window"]
    for trained in (own, champion):
        assert sum(trained["importance"].values()) == pytest.approx(1)
        assert list(trained["importance"].values()) == sorted(trained["importance"].values(), reverse=True)
    page = visit("analyst").get(f"reports/toy/decisions/{found['page']}")
    assert page.status_code == 200
    assert EVIL not in page.text
    assert "&lt;script&gt;" in page.text


def test_the_model_card_is_a_page_of_its_own_which_reaches_nothing(visit: Visit, toy_models: Toy) -> None:
    answer = visit("analyst").get("api/toy/models/2/card")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox allow-same-origin" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "Late parcels, version 2" in answer.text
    assert EVIL not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert visit("analyst").get("api/toy/models/9/card").status_code == 409


def test_a_rollback_is_planned_and_nothing_changes(visit: Visit, toy_models: Toy) -> None:
    toy_models.run(
        "promote", "2024-02-11", "2024-02-24", model="1", approval="approved", person="grace", reason="again"
    )
    moves = read_moves(toy_models.lake)
    found = visit("approver").get("api/toy/models/2/rollback").json()
    plan = found["plan"]
    assert (plan["bad_version"], plan["to_version"], plan["dry_run"]) == ("1", "2", True)
    assert found["command"] == 'contrail rollback-model -p toy --to 2 --reason "…"'
    assert (found["dag_id"], found["conf"]) == ("toy__rollback", {"version": "2", "take_back": "1"})
    form = rollback("toy").params
    assert {form.get_param(name).resolve(value) for name, value in found["conf"].items()} == {"1", "2"}
    assert read_moves(toy_models.lake) == moves


def test_only_an_approvers_rollback_begins_at_once(visit: Visit, toy_models: Toy) -> None:
    """For others it waits for an approver, and who may start no run may read the plan alone."""
    toy_models.run(
        "promote", "2024-02-11", "2024-02-24", model="1", approval="approved", person="grace", reason="again"
    )
    may = {role.name: visit(role.name).get("api/toy/models/2/rollback").json()["may"] for role in ROLES}
    assert may == {"admin": "start", "approver": "start", "engineer": "ask", "scientist": "ask", "analyst": "read"}


@pytest.mark.parametrize("version", ["champion", "1%2F..", "<script>", "-1", "1e3"])
def test_a_version_is_a_number(version: str, visit: Visit, toy_page: Toy) -> None:
    assert visit("analyst").get(f"api/toy/models/{version}").status_code in (404, 422)


def test_a_version_that_is_not_there_is_answered_in_words(visit: Visit, toy_models: Toy) -> None:
    answer = visit("analyst").get("api/toy/models/9")
    assert answer.status_code == 409
    assert "pipeline 'toy' has no model version 9" in answer.json()["detail"]


def test_mlflow_is_linked_where_a_browser_finds_it(toy_page: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models.mlflow_address() is None
    running = State(mlflow_url="http://127.0.0.1:5005", processes=[this_process("mlflow")])
    running.write(Path(Embedded(settings()).home) / "running.json")
    assert models.mlflow_address() == "http://127.0.0.1:5005"
    running.processes.clear()
    running.write(Path(Embedded(settings()).home) / "running.json")
    for uri, shown in (("http://mlflow:5000", None), ("https://models.example.com/", "https://models.example.com")):
        registry = settings().registry.model_copy(update={"tracking_uri": uri})
        changed = settings().model_copy(update={"registry": registry})
        monkeypatch.setattr(models, "settings", lambda changed=changed: changed)
        assert models.mlflow_address() == shown

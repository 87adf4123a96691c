"""A rollback in Airflow: who is asked about it, and the command that an answer leads to."""

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from tests.unit.plugins.dags.rendering import ROLLBACK, build_dags, render

from contrail_airflow.operators import asking
from contrail_airflow.operators.ending import StageRefused
from contrail_airflow.operators.rollback import RollbackOperator, has_read
from contrail_airflow.operators.run_notes import note
from contrail_airflow.roles import ROLES

BOTH = {"version": "2", "take_back": "3"}
APPROVER = {"id": "approver", "name": "approver"}
DONE = ROLLBACK.model_copy(
    update={"dry_run": False, "run_id": "r", "person": "approver", "reason": "why", "rescored_rows": 240}
)


def rendered(person: str, **params: Any) -> list[str]:
    dag = build_dags("flight_delay")["flight_delay__rollback"]
    return render(dag, run_id="manual__x", person=person, **params).splitlines()


@pytest.mark.parametrize("name", [role.name for role in ROLES])
@pytest.mark.parametrize("params", [BOTH, {}, {"version": "2"}, {"take_back": "3"}])
def test_only_an_approver_who_has_read_the_plan_is_not_asked(home: Any, name: str, params: dict[str, str]) -> None:
    asked = any("airflow waits" in line for line in rendered(name, **params))
    assert asked is not (name in ("approver", "admin") and params == BOTH)


def test_who_clears_an_approvers_run_does_not_roll_back_once_more() -> None:
    def read(**changed: Any) -> bool:
        run: Any = SimpleNamespace(**{"triggering_user_name": "approver", "clear_number": 0, **changed})
        return has_read(run, "2", "3")

    assert read()
    assert not read(clear_number=1)
    assert not read(triggering_user_name=None)


def test_the_command_has_both_versions_and_who_answers_for_it(home: Any) -> None:
    plan, done = rendered("approver", reason="bad feed", **BOTH)
    command = "contrail rollback-model --pipeline flight_delay --run-id RUN --json"
    assert plan == f"plan: {command} --to 2 --take-back 3 --reason bad feed --dry-run"
    assert done == f"rollback: {command} --to 2 --take-back 3 --person approver --reason bad feed"


def test_the_versions_of_the_form_count_more_than_those_of_a_plan_that_somebody_wrote(home: Any) -> None:
    lines = rendered("approver", version="1", take_back="3")
    assert ROLLBACK.to_version == "2"
    assert " --to 1 --take-back 3 " in lines[-1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(asking, "upsert_hitl_detail", lambda **question: questions.append(question))
    monkeypatch.setattr(RollbackOperator, "_dispatch", lambda self, job: {"command": list(job.command)})
    return questions


def operator(person: str = "scientist") -> RollbackOperator:
    """The task as Airflow has rendered it for a run of a person."""
    dag = build_dags("flight_delay")["flight_delay__rollback"]
    render(dag, run_id="manual__x", person=person)
    task = dag.get_task("rollback")
    assert isinstance(task, RollbackOperator)
    return task


def context() -> Any:
    instance = SimpleNamespace(
        id="ti-1", dag_id="toy__rollback", run_id="manual__x", task_id="rollback", map_index=-1, try_number=2,
        log_url="https://airflow/log",
    )  # fmt: skip
    return {"ti": instance, "dag_run": SimpleNamespace(start_date=None, partition_key=None, triggering_user_name=None)}


def answered(chosen: str, user: Any = APPROVER, reason: str = "") -> dict[str, Any]:
    return {"chosen_options": [chosen], "params_input": {"reason": reason}, "responded_by_user": user}


def test_the_question_shows_the_plan_and_the_answer_carries_it_out(home: Any, asked: list[dict[str, Any]]) -> None:
    task = operator()
    with pytest.raises(TaskAwaitingInput) as waits:
        task.execute({**context(), "task": task})
    (question,) = asked
    assert '"kind": "approval"' in (home / "notifications.jsonl").read_text()
    assert question["subject"].endswith("may version 2 become champion again, instead of version 3?")
    assert "- 2024-02-26 to 2024-02-29: 240 rows" in question["body"]
    assert "scientist asks: mistake" in question["body"]
    assert question["assigned_users"] == [APPROVER, {"id": "admin", "name": "admin"}]
    task.options = {"to": "9", "take_back": "3"}  # rendered anew after the wait
    options = waits.value.kwargs["options"]
    done = task.answered(context(), answered("Approve", reason="agreed"), options=options)["command"]
    assert done[-8:] == ["--to", "2", "--take-back", "3", "--person", "approver", "--reason", "agreed"]
    assert done[done.index("--run-id") + 1] == "manual__x", "each attempt goes on with the same rollback"
    done = task.answered(context(), answered("Approve"), options=options)["command"]
    assert done[-2:] == ["--reason", "mistake"]


@pytest.mark.parametrize(("chosen", "user"), [("Refuse", APPROVER), ("Refuse", None), ("Approve", None)])
def test_without_an_approval_nothing_changes(home: Any, asked: list[dict[str, Any]], chosen: str, user: Any) -> None:
    with pytest.raises(AirflowSkipException, match=r"no approver wanted it\. Nothing was changed\. Reason: no"):
        operator().answered(context(), answered(chosen, user, "no"), options={"to": "2", "take_back": "3"})


def test_without_a_reason_nothing_is_planned(home: Any) -> None:
    dag = build_dags("flight_delay")["flight_delay__rollback"]
    render(dag, run_id="manual__x", reason=" ")
    with pytest.raises(StageRefused, match="Say why"):
        dag.get_task("plan").check_given()


def test_it_is_never_paused_and_its_note_says_what_was_done(home: Any) -> None:
    assert build_dags("flight_delay")["flight_delay__rollback"].is_paused_upon_creation is False
    said = note("", [("plan", "success", ROLLBACK.as_dict()), ("rollback", "success", DONE.as_dict())])
    assert said == (
        "✓ rollback-model: version 2 takes over from version 3 for days from 2024-02-25 on; "
        "240 rows of 4 days are scored again"
    )

"""A promotion that waits for an approver takes only the answer that Airflow has kept."""

from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from contrail_airflow.operators import asking
from contrail_airflow.operators.approval import PromoteOperator
from contrail_airflow.operators.asking import APPROVE, REFUSE
from contrail_airflow.operators.ending import StageRefused

APPROVER = {"id": "approver", "name": "approver"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of approvers; commands are returned instead of run."""
    questions: list[dict[str, Any]] = []
    monkeypatch.setattr(asking, "upsert_hitl_detail", lambda **question: questions.append(question))
    monkeypatch.setattr(PromoteOperator, "_dispatch", lambda self, job: {"command": list(job.command)})
    return questions


def operator(ask_if: str, **more: Any) -> PromoteOperator:
    return PromoteOperator(
        task_id="promote", verb="promote", pipeline="toy", partition_from="2024-02-01", partition_to="2024-02-14",
        options={"model": "3"}, ask_if=ask_if, subject="may version 3?", body="record",
        response_timeout=timedelta(hours=2), **more,
    )  # fmt: skip


def context(**xcoms: Any) -> Any:
    """Of a task whose XComs anybody may have written."""
    instance = SimpleNamespace(
        id="ti-1", dag_id="toy__train", run_id="r", task_id="promote", map_index=-1, try_number=1, log_url="https://airflow/log",
        xcom_pull=lambda task_ids: xcoms.get(task_ids),
    )  # fmt: skip
    return {"ti": instance, "dag_run": SimpleNamespace(start_date=None, triggering_user_name=None)}


def test_it_promotes_at_once_when_nobody_is_asked_for(asked: list[dict[str, Any]]) -> None:
    assert operator(" ").execute(context())["command"][-4:] == ["--model", "3", "--approval", "none"]
    assert asked == []


def test_nobody_is_asked_about_a_promotion_that_is_skipped(asked: list[dict[str, Any]]) -> None:
    task = operator("yes")
    task.skip_unless = ""
    with pytest.raises(AirflowSkipException):
        task.execute(context())
    assert asked == []


def test_it_asks_the_approvers_and_waits_without_a_worker(asked: list[dict[str, Any]]) -> None:
    forged = {"chosen_options": [APPROVE], "params_input": {}, "responded_by_user": APPROVER}
    with pytest.raises(TaskAwaitingInput) as waits:
        operator("yes").execute(context(promote=forged, approve=forged))
    assert waits.value.method_name == "answered"
    assert waits.value.timeout == timedelta(hours=2)
    assert waits.value.kwargs == {"options": {"model": "3", "approval": "none"}}
    (question,) = asked
    assert question["assigned_users"] == [APPROVER, {"id": "admin", "name": "admin"}]
    assert (question["options"], question["defaults"]) == ([APPROVE, REFUSE], [REFUSE])
    assert (question["subject"], question["body"]) == ("may version 3?", "record")
    assert question["params"]["reason"]["schema"]["title"] == "Reason"


@pytest.mark.parametrize(("ask_if", "skip_unless"), [("yes", "yes"), (" ", "yes"), ("yes", "")])
def test_people_are_told_of_a_question_once_it_is_asked(
    asked: list[dict[str, Any]], ask_if: str, skip_unless: str
) -> None:
    told: list[tuple[Any, int]] = []
    task = operator(ask_if, on_question_callback=lambda given: told.append((given, len(asked))))
    task.skip_unless = skip_unless
    given = context()
    with suppress(TaskAwaitingInput, AirflowSkipException):
        task.execute(given)
    assert told == ([(given, 1)] if ask_if == skip_unless else [])


def test_a_message_that_cannot_be_sent_fails_no_question(asked: list[dict[str, Any]]) -> None:
    def fails(_: Any) -> None:
        raise OSError("no network")

    with pytest.raises(TaskAwaitingInput):
        operator("yes", on_question_callback=fails).execute(context())
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("chosen", "user", "said"),
    [
        (APPROVE, APPROVER, ["--approval", "approved", "--person", "approver", "--reason", "why"]),
        (REFUSE, APPROVER, ["--approval", "refused", "--person", "approver", "--reason", "why"]),
        (REFUSE, None, ["--approval", "refused", "--person", "nobody, in time", "--reason", "why"]),
        (APPROVE, None, ["--approval", "refused", "--person", "nobody, in time", "--reason", "why"]),
    ],
)
def test_the_answer_is_carried_out_for_the_version_of_the_question(
    asked: list[dict[str, Any]], chosen: str, user: Any, said: list[str]
) -> None:
    event = {"chosen_options": [chosen], "params_input": {"reason": "why"}, "responded_by_user": user}
    task = operator("yes")
    task.options = {"model": "4"}  # rendered anew after the wait, from an XCom that somebody has changed
    done = task.answered(context(), event, options={"model": "3", "approval": "none"})
    assert done["command"][-8:] == ["--model", "3", *said]


@pytest.mark.parametrize("ask_if", ["yes", " "])
def test_without_a_candidate_nobody_is_asked_and_nothing_is_promoted(asked: list[dict[str, Any]], ask_if: str) -> None:
    """Without `--model` the gate would judge the newest version, whoever trained it."""
    task = operator(ask_if)
    task.options["model"], task.required = "", {"model": "this run has no candidate"}
    with pytest.raises(StageRefused, match="this run has no candidate"):
        task.execute(context())
    assert asked == []

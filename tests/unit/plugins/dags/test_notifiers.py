"""Messages always reach the file, reach Slack and mail where there is a connection, and never fail a task."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowNotFoundException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)

from contrail.config.settings import CloudLogSettings, settings
from contrail.errors import DataError
from contrail.notify import delivery
from contrail.notify.messages import Message, of_deadline, of_failure
from contrail.stages.details import StageDetails
from contrail.stages.results import (
    IngestDetails,
    ScoreDetails,
    ShadowScoring,
    StageResult,
    ValidateDetails,
)
from contrail_airflow.dags import notifiers as notifications
from contrail_airflow.dags.notifiers import (
    SLACK,
    SMTP,
    DeadlineNotifier,
    DecisionNotifier,
    FailureNotifier,
    QuestionNotifier,
    RunNotifier,
    StageNotifier,
    deliver,
)
from contrail_airflow.operators.approval import PromoteOperator
from contrail_airflow.operators.backfill import BackfillOperator, JobsOperator
from contrail_airflow.operators.day import RetrainOperator
from contrail_airflow.operators.ending import StageRefused
from contrail_airflow.operators.stage import StageOperator

NEWEST = "2024-03-10"  # of the toy pipeline


def context(**more: Any) -> Any:
    task = StageOperator(
        task_id="validate", verb="validate", pipeline="toy", partition_from="2024-01-05", partition_to="2024-01-05"
    )
    result = more.pop("result", result_of(ValidateDetails(quarantined={})))
    return {"task": task, "ti": of_instance(task, xcom_pull=lambda task_ids: result.as_dict()), **more}


def result_of(details: StageDetails) -> StageResult[Any]:
    return StageResult(stage="", pipeline="toy", partitions="2024-01-05", run_id="run-1", rows=3, details=details)


def of_instance(task: Any, **more: Any) -> Any:
    names = {"dag_id": "toy__daily", "task_id": task.task_id, "run_id": "run-1", "log_url": "http://airflow/log"}
    return SimpleNamespace(**names, **more)


def lines(home: Path) -> list[dict[str, str]]:
    path = home / "notifications.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    known: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in known:
            raise AirflowNotFoundException(name)
        return known[name]

    monkeypatch.setattr(notifications.BaseHook, "get_connection", staticmethod(get))
    return known


def test_a_question_is_told_with_the_place_of_its_answer(home: Path, connections: dict[str, Any]) -> None:
    task = PromoteOperator(
        task_id="promote", verb="promote", pipeline="toy", partition_from="2024-02-01", partition_to="2024-02-14",
        ask_if="yes", subject="Toy: may version 3 become champion?", body="", response_timeout=timedelta(hours=48),
    )  # fmt: skip
    instance = of_instance(task)
    instance.log_url = "http://airflow/dags/toy__train/runs/r/tasks/promote?try_number=1"
    QuestionNotifier()({"task": task, "ti": instance})
    (line,) = lines(home)
    assert (line["kind"], line["where"]) == ("approval", "toy promote 2024-02-01..2024-02-14")
    assert line["happened"] == "Toy: may version 3 become champion?"
    assert "within 48 hours, it counts as refused" in line["to_do"]
    assert line["link"] == "http://airflow/dags/toy__train/runs/r/tasks/promote/required_actions"


def test_a_refused_task_is_told_with_what_it_said(home: Path, connections: dict[str, Any]) -> None:
    error = StageRefused("validate", 3, "weight: 40 rows are negative")
    FailureNotifier()(context(exception=error))
    (line,) = lines(home)
    assert line["kind"] == "refusal"
    assert line["where"] == "toy validate 2024-01-05"
    assert line["happened"] == "weight: 40 rows are negative"
    assert line["link"] == "http://airflow/log"


def test_a_skipped_task_is_told_only_where_it_decided(home: Path, connections: dict[str, Any]) -> None:
    given = context(exception=AirflowSkipException("this run leaves promote out"))
    DecisionNotifier()(given)
    assert lines(home) == []
    given["task"].refusal = of_failure("toy promote 2024-01-05", 4, "version 2 is refused")
    DecisionNotifier()(given)
    (line,) = lines(home)
    assert (line["kind"], line["happened"]) == ("refusal", "version 2 is refused")


def failed(home: Path, error: BaseException | None, task: Any = None) -> dict[str, str]:
    """What people are told when a task has failed with this error."""
    given = context() if task is None else {"task": task, "ti": of_instance(task)}
    FailureNotifier()({**given, **({"exception": error} if error else {})})
    (line,) = lines(home)
    return line


def test_a_task_that_took_too_long_is_not_called_wrong(home: Path, connections: dict[str, Any]) -> None:
    slow = StageOperator(
        task_id="train", verb="train", pipeline="toy", partition_from="2024-01-01", partition_to="2024-01-31",
        execution_timeout=timedelta(minutes=60),
    )  # fmt: skip
    line = failed(home, AirflowTaskTimeout("Timeout, PID: 7"), slow)
    assert (line["kind"], line["where"]) == ("failure", "toy train 2024-01-01..2024-01-31")
    assert line["happened"] == "it took longer than its 1:00:00, and was ended"
    assert "give it longer" in line["to_do"]
    assert "would fail again" not in line["to_do"]


def test_a_job_in_the_cloud_that_took_too_long_says_so(home: Path, connections: dict[str, Any]) -> None:
    line = failed(home, TaskDeferralTimeout("Trigger timeout"))
    assert "in the cloud took too long" in line["happened"]


def test_an_error_of_airflow_itself_was_tried_again(home: Path, connections: dict[str, Any]) -> None:
    line = failed(home, OSError("connection refused"))
    assert line["happened"] == "OSError: connection refused"
    assert "the retries are used up" in line["to_do"]


def test_a_task_whose_process_was_lost_is_told(cloud_log: list[Any], home: Path) -> None:
    """Airflow's DAG processor gives no exception, and has not rendered the task."""
    lost = StageOperator(task_id="score", verb="score", pipeline="toy")
    line = failed(home, None, lost)
    assert (line["kind"], line["where"]) == ("failure", "toy score run-1")
    assert "its process was lost" in line["happened"]
    assert [entry["kind"] for _, entry, _, _ in cloud_log] == ["failure"], "nothing was published"


def test_a_training_that_could_not_be_started_is_told(home: Path, connections: dict[str, Any]) -> None:
    retrain = RetrainOperator(task_id="retrain", trigger_dag_id="toy__train", skip_unless="yes")
    line = failed(home, RuntimeError("no such DAG"), retrain)
    assert line["where"] == "toy__daily retrain run-1"
    assert line["happened"].endswith("but the training did not start: RuntimeError: no such DAG")
    assert line["kept"] == "the decision, in the table `governor`; the champion stays"
    assert "trigger toy__train" in line["to_do"]


def test_jobs_of_a_backfill_that_could_not_be_listed_are_told(home: Path, connections: dict[str, Any]) -> None:
    jobs = JobsOperator(task_id="score_jobs", stage="score", skip_unless="yes")
    line = failed(home, TypeError("no plan"), jobs)
    assert (line["where"], line["happened"]) == ("toy__daily score_jobs run-1", "TypeError: no plan")
    assert line["to_do"].endswith("then clear the task")


def test_a_task_without_a_stage_that_went_well_says_nothing(home: Path, connections: dict[str, Any]) -> None:
    jobs = JobsOperator(task_id="score_jobs", stage="score", skip_unless="yes")
    StageNotifier()({"task": jobs, "ti": of_instance(jobs)})  # type: ignore[typeddict-item]
    assert lines(home) == []


def test_a_task_that_went_well_says_nothing(home: Path, connections: dict[str, Any]) -> None:
    StageNotifier()(context())
    assert lines(home) == []


def test_a_task_with_news_tells_them(home: Path, connections: dict[str, Any]) -> None:
    late = IngestDetails(files=1, unchanged_files=0, late=("weighings 2024-01-04",), replaced=())
    given = context(result=result_of(late))
    given["task"].verb = "ingest"
    StageNotifier()(given)
    assert [line["kind"] for line in lines(home)] == ["late data"]


def test_a_part_of_a_backfill_is_told_of_by_its_report(home: Path, connections: dict[str, Any]) -> None:
    part = BackfillOperator(task_id="drift", verb="drift", pipeline="toy")
    StageNotifier()({"task": part, "ti": of_instance(part)})  # type: ignore[typeddict-item]
    assert lines(home) == []


def test_a_run_that_took_too_long_as_a_whole_is_told(home: Path, connections: dict[str, Any]) -> None:
    given: Any = {"dag": DAG("toy__train", schedule=None, dagrun_timeout=timedelta(hours=30)), "run_id": "run-1"}
    RunNotifier()({**given, "reason": "task_failure"})
    assert lines(home) == [], "its task has told"
    RunNotifier()({**given, "reason": "timed_out"})
    (line,) = lines(home)
    assert (line["kind"], line["where"]) == ("failure", "toy__train run-1")
    assert "1 day, 6:00:00" in line["happened"]


def test_a_missed_deadline_is_told_from_the_triggerer(home: Path, connections: dict[str, Any]) -> None:
    async def wait() -> None:
        await DeadlineNotifier(dag_id="toy__daily", minutes=5, context={"dag_run": {"dag_run_id": "run-1"}})  # type: ignore[arg-type, misc]

    asyncio.run(wait())
    assert [line["where"] for line in lines(home)] == ["toy__daily run-1"]


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()


def _message() -> Message:
    return of_deadline("toy__daily run-1", 5)


def test_slack_gets_the_text_over_its_webhook(
    home: Path, connections: dict[str, Any], webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    from airflow.sdk import Connection

    url, got = webhook
    connections[SLACK] = Connection(conn_id=SLACK, conn_type="slackwebhook", host=url, password="T000/B000/XXX")
    assert deliver(_message()) == ["file", SLACK]
    assert got[0]["text"] == _message().text()


def test_a_channel_that_fails_leaves_the_others(
    home: Path, connections: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    connections[SMTP] = SimpleNamespace(extra_dejson={})
    assert deliver(_message()) == ["file"]
    assert "has no receiver" in caplog.text


@pytest.fixture
def cloud_log(toy_home: Path, connections: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the real logger on a machine of Compute Engine sends to Cloud Logging: log, what, severity, resource."""
    import google.cloud.logging
    from google.cloud.logging_v2 import logger

    entries: list[Any] = []

    class Client:
        def __init__(self, project: str) -> None:
            self.project = project
            self.logging_api = self

        def logger(self, name: str, **options: Any) -> Any:
            return logger.Logger(name, self, **options)

        def write_entries(self, sent: list[dict[str, Any]], **_: Any) -> None:
            own = [e for e in sent if "severity" in e]  # beside the library's word on itself
            entries.extend((e["logName"], e["jsonPayload"], e["severity"], e["resource"]["type"]) for e in own)

    machine = google.cloud.logging.Resource("gce_instance", {})
    monkeypatch.setattr(logger, "detect_resource", lambda project: machine)
    monkeypatch.setattr(google.cloud.logging, "Client", Client)
    current = settings().model_copy(update={"cloud_log": CloudLogSettings(project="demo")})
    monkeypatch.setattr(delivery, "settings", lambda: current)
    return entries


def test_alerts_can_be_made_of_messages_and_of_publications(cloud_log: list[Any]) -> None:
    FailureNotifier()(context(exception=StageRefused("validate", 3, "bad")))
    of_score = ScoreDetails(
        model_name="toy", model_version="1", feature_snapshot=1, without_entities=(), predict_seconds=1.0,
        shadow=ShadowScoring(),
    )  # fmt: skip
    scored = context(result=result_of(of_score))
    scored["task"].verb = "score"
    scored["task"].partition_to = NEWEST
    StageNotifier()(scored)
    StageNotifier()(context())
    (failed, published) = cloud_log
    # These names are read by terraform/modules/monitoring.
    assert (failed[0], failed[2], failed[3]) == ("projects/demo/logs/contrail", "ERROR", "global")
    assert (failed[1]["kind"], failed[1]["where"]) == ("refusal", "toy validate 2024-01-05")
    assert {name: published[1][name] for name in ("kind", "pipeline", "table")} == {
        "kind": "published", "pipeline": "toy", "table": "predictions",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "days", "counted"),
    [
        (StageOperator, ("2024-03-09", "2024-03-09"), 0),
        (BackfillOperator, ("2024-01-01", "2024-03-09"), 0),
        (BackfillOperator, ("2024-01-01", NEWEST), 1),
    ],
)
def test_days_that_are_scored_again_do_not_stand_for_the_newest(
    cloud_log: list[Any], kind: type[StageOperator], days: tuple[str, str], counted: int
) -> None:
    task = kind(task_id="score", verb="score", pipeline="toy", partition_from=days[0], partition_to=days[1])
    StageNotifier()({"task": task, "ti": of_instance(task, xcom_pull=lambda task_ids: None)})
    assert [entry["kind"] for _, entry, _, _ in cloud_log] == ["published"] * counted


def test_a_failed_scoring_publishes_nothing(cloud_log: list[Any]) -> None:
    failed = context(exception=StageRefused("score", 3, "no features"))
    failed["task"].verb = "score"
    FailureNotifier()(failed)
    assert [entry["kind"] for _, entry, _, _ in cloud_log] == ["refusal"]


def test_a_publication_is_in_the_log_whatever_the_result_says(cloud_log: list[Any]) -> None:
    scored = StageOperator(task_id="score", verb="score", pipeline="toy", partition_from=NEWEST, partition_to=NEWEST)
    unreadable = of_instance(scored, xcom_pull=lambda task_ids: {"details": "of another version"})
    with pytest.raises(DataError, match="the result of score is not valid"):
        StageNotifier().notify({"task": scored, "ti": unreadable})  # type: ignore[typeddict-item]
    assert [entry["kind"] for _, entry, _, _ in cloud_log] == ["published"]

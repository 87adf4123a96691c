"""The stage operator: its command, what each exit code means, and that it ends what it started."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from contrail.config.targets import LocalTarget
from contrail.dispatch.payload import render_process
from contrail.errors import (
    AuditError,
    BudgetError,
    CommitConflictError,
    ContrailError,
    EngineError,
    GateRefusedError,
    PartitionRefusedError,
    SpecError,
)
from contrail.notify.messages import Kind
from contrail.stages.results import ScoreDetails, ShadowScoring, StageResult
from contrail_airflow.operators.backfill import BackfillOperator
from contrail_airflow.operators.ending import StageRefused, StageStopped
from contrail_airflow.operators.forked_process import FORK_SERVER, forked
from contrail_airflow.operators.stage import StageOperator
from contrail_airflow.operators.stage_process import StageProcess

CONTEXT: Any = {
    "ti": SimpleNamespace(
        dag_id="toy__backfill",
        run_id="backfill__2024-01-05T00:00:00+00:00",
        task_id="score",
        map_index=-1,
        try_number=2,
        log_url="https://airflow/log",
    ),
    "dag_run": SimpleNamespace(start_date=datetime(2024, 1, 8, tzinfo=UTC), triggering_user_name="anna"),
}


def operator(**arguments: Any) -> StageOperator:
    given = {"verb": "score", "partition_from": "2024-01-05", "partition_to": "2024-01-07", **arguments}
    return StageOperator(task_id="score", pipeline="toy", **given)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Execute the operator with a Python script in place of the stage."""

    def execute(script: str, max_tries: int = 0, **arguments: Any) -> Any:
        _replace_stage(monkeypatch, script)
        monkeypatch.setattr(CONTEXT["ti"], "max_tries", max_tries, raising=False)
        return operator(**arguments).execute(CONTEXT)

    return execute


_SERVER = """
import os, pathlib, sys
from contrail_airflow.operators.fork_server import become_next_command
become_next_command(pathlib.Path(sys.argv[1]), lambda: None)
exec(sys.argv[1])
"""


@pytest.fixture(params=["new", "forked"], autouse=True, scope="module")
def how(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """How a stage's process starts: as a new one, or as a fork of a server that runs scripts in place of contrail."""
    if request.param == "new":
        yield
        return
    folder = tmp_path_factory.mktemp("server")
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen([sys.executable, "-c", _SERVER, str(folder)]) as server,
    ):
        _until(lambda: _forks(folder))
        patch.setenv(FORK_SERVER, str(folder))
        yield
        assert _forks(folder), "the server has survived what its commands did"
        server.kill()


def _forks(folder: Path) -> bool:
    with tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-m", "contrail", "pass"]
        started = forked(command, os.environ, str(folder), output)
        return started is not None and started.wait() == 0


def _replace_stage(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    how = ["-m", "contrail"] if os.environ.get(FORK_SERVER) else ["-c"]
    payload = {"command": [sys.executable, *how, script], "environment": {}}
    monkeypatch.setattr("contrail_airflow.operators.local_run.render_process", lambda job, target: payload)


def test_the_command_is_what_a_person_types() -> None:
    command = operator(options={"model": "champion"}).command("run-1")
    assert command == [
        "score", "--pipeline", "toy", "--from", "2024-01-05", "--to", "2024-01-07",
        "--run-id", "run-1", "--json", "--model", "champion",
    ]  # fmt: skip


def test_an_option_that_renders_to_nothing_is_left_out() -> None:
    assert operator(options={"model": ""}).command("run-1")[-2:] == ["run-1", "--json"]


def test_an_option_that_the_stage_does_not_have_is_refused_when_the_dag_is_made() -> None:
    with pytest.raises(SpecError, match="score has no option 'modle'; did you mean 'model'"):
        operator(options={"modle": "{{ params.model }}"})


def test_the_parts_of_a_backfill_have_one_name() -> None:
    range_ = ["--pipeline", "toy", "--from", "2024-01-05", "--to", "2024-01-07"]

    def part(verb: str, **arguments: Any) -> tuple[str, list[str]]:
        given = {"partition_from": "2024-01-05", "partition_to": "2024-01-07", **arguments}
        task = BackfillOperator(task_id=verb, verb=verb, pipeline="toy", **given)
        name = task.name_of(CONTEXT["ti"])
        return name, task.command(name)

    name = "backfill__2024-01-05T00-00-00-00-00"
    assert part("plan", arguments=["--begin"]) == (name, ["backfill", *range_, "--id", name, "--json", "--begin"])
    assert part("score", arguments=["--model", "2", ""]) == (
        name,
        ["backfill", *range_, "--stages", "score", "--no-report", "--id", name, "--json", "--model", "2"],
    )
    assert part("difference") == (name, ["difference", "--pipeline", "toy", "--id", name, "--json"])


def test_the_run_id_names_the_attempt() -> None:
    job = operator().job(CONTEXT)
    assert job.command[-2:] == ("backfill__2024-01-05T00-00-00-00-00-2", "--json")
    assert (job.pipeline, job.stage, job.partitions, job.attempt) == ("toy", "score", "2024-01-05..2024-01-07", 2)


def test_the_result_is_the_last_line_of_output(run: Any) -> None:
    assert run("print('noise'); print('{\"rows\": 3}')") == {"rows": 3}


@pytest.mark.parametrize("error", [CommitConflictError, EngineError])
def test_an_error_that_may_pass_is_retried(run: Any, error: type[ContrailError]) -> None:
    with pytest.raises(StageStopped) as raised:
        run(f"import sys; print('lost', file=sys.stderr); sys.exit({error.exit_code})")
    assert not isinstance(raised.value, StageRefused)
    assert raised.value.said == "lost"


def test_a_refusal_of_the_gate_is_a_decision_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["1.0 s  reading", "✗ GateRefusedError: toy version 2 is refused", "  - Better than the champion: no"]
    script = f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit({GateRefusedError.exit_code})"
    _replace_stage(monkeypatch, script)
    with pytest.raises(StageRefused):
        operator().execute(CONTEXT)  # nothing else decides, so the same code is a failure
    capsys.readouterr()
    task = operator(verb="promote")
    with pytest.raises(AirflowSkipException, match="the gate refused the candidate; the champion stays"):
        task.execute(CONTEXT)
    assert task.refusal
    assert (task.refusal.kind, task.refusal.happened) == (Kind.refusal, "\n".join(lines[1:]))
    logged = capsys.readouterr().out
    assert "What was kept: the champion stays; the decision record is with the refused version" in logged
    assert "What to do: read the record; train another candidate" in logged


@pytest.mark.parametrize("error", [SpecError, PartitionRefusedError, AuditError, BudgetError])
def test_an_error_that_would_come_again_is_not_retried(run: Any, error: type[ContrailError]) -> None:
    with pytest.raises(StageRefused) as raised:
        run(f"import sys; print('raw rows are bad', file=sys.stderr); sys.exit({error.exit_code})")
    assert isinstance(raised.value, StageRefused)
    assert raised.value.said == "raw rows are bad"


@pytest.mark.parametrize(
    ("verb", "first"), [("ingest", False), ("validate", True), ("late", False), ("features", False)]
)
def test_a_file_that_lands_again_is_taken_in_before_it_is_judged(verb: str, first: bool) -> None:
    task = StageOperator(task_id=verb, verb=verb, pipeline="toy")
    assert ("clear `ingest` and what follows it" in task.again(PartitionRefusedError.exit_code)) == first
    assert task.again(SpecError.exit_code) == "clear the task"
    of_backfill = BackfillOperator(task_id=verb, verb=verb, pipeline="toy").again(PartitionRefusedError.exit_code)
    assert ("trigger a new run whose stages begin with `ingest`" in of_backfill) == first
    assert "clear `ingest`" not in of_backfill


def test_a_killed_stage_is_retried(run: Any) -> None:
    with pytest.raises(StageStopped) as raised:
        run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(StageStopped, match=r"(?s)ended by SIGABRT.*Often no memory was left.*reading rows"):
        run("import os, sys; print('reading rows', file=sys.stderr, flush=True); os.abort()")
    with pytest.raises(StageStopped) as stopped:
        run("import sys; print('✗ stopped by SIGTERM, before its end.', file=sys.stderr); sys.exit(143)")
    assert stopped.value.said == "✗ stopped by SIGTERM, before its end."
    assert not isinstance(raised.value, StageRefused)


def test_a_run_without_a_partition_is_refused(run: Any) -> None:
    with pytest.raises(StageRefused, match="no partition"):
        run("print('{}')", partition_from="None")
    with pytest.raises(StageRefused, match="give a day"):
        run("print('{}')", partition_from="", no_partition="give a day")


def test_a_stage_that_was_not_asked_for_is_skipped(run: Any) -> None:
    with pytest.raises(AirflowSkipException):
        run("print('{}')", skip_unless="")


def test_a_child_that_outlives_the_stage_does_not_hold_the_task(run: Any, tmp_path: Path) -> None:
    mark = tmp_path / "child.pid"
    script = (
        "import os, pathlib, signal, subprocess; child = subprocess.Popen(['sleep', '300']); "
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid)); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = time.monotonic()
    with pytest.raises(StageStopped, match="code -9"):
        run(script)
    assert time.monotonic() - started < 60
    _until(lambda: not _alive(int(mark.read_text())))


def test_a_stage_that_ignores_the_signal_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "stage.pid"
    script = (
        "import os, pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(300)"
    )
    monkeypatch.setattr("contrail_airflow.operators.stage_process._TERM_SECONDS", 0.2)
    _kill_while_running(operator(), script, mark, monkeypatch)


def test_a_result_that_is_not_json_is_refused(run: Any) -> None:
    with pytest.raises(StageRefused, match="not a JSON object"):
        run("print('all is well')")
    with pytest.raises(StageRefused, match="not a JSON object"):
        run("pass")


def test_killing_the_task_ends_the_stage_and_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "child.pid"
    script = (
        f"import pathlib, subprocess, sys; child = subprocess.Popen(['sleep', '300']); "
        f"pathlib.Path({str(mark)!r}).write_text(str(child.pid)); child.wait()"
    )
    _kill_while_running(operator(), script, mark, monkeypatch)


def _kill_while_running(task: StageOperator, script: str, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the script as the stage until it has written a process id to ``mark``; kill the task; the process is gone."""
    _replace_stage(monkeypatch, script)
    failure: list[BaseException] = []

    def execute() -> None:
        try:
            task.execute(CONTEXT)
        except StageStopped as error:
            failure.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    _until(lambda: mark.exists() and mark.read_text() != "")
    task.on_kill()
    thread.join(30)
    assert failure
    assert not isinstance(failure[0], StageRefused), "a killed stage may be tried again"
    _until(lambda: not _alive(int(mark.read_text())))


def test_a_task_that_is_killed_while_its_stage_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_stage(monkeypatch, "import time; time.sleep(15)")
    task = operator()

    class Killed(StageProcess):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            task.on_kill()

    monkeypatch.setattr("contrail_airflow.operators.local_run.StageProcess", Killed)
    with pytest.raises(StageStopped, match="code -15"):
        task.execute(CONTEXT)


def _alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


def _until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)
    os.sched_yield()


def test_the_error_leaves_out_the_progress_before_it_and_is_logged_once_as_an_error(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["1.0 s  reading", "✗ DataError: bad", "  mend it"]
    with pytest.raises(StageRefused) as raised:
        run(f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit(3)")
    assert raised.value.said == "✗ DataError: bad\n  mend it"
    assert not isinstance(raised.value, Exception), "Airflow would log its own frames"
    logged = [line for line in capsys.readouterr().out.splitlines() if "[error" in line]
    words = [*lines[1:], "What was kept: what was published before stays", "What to do: mend what is named above, then"]
    assert [said in line for said, line in zip(words, logged, strict=True)] == [True] * 4
    assert raised.value.message
    assert raised.value.message.title == "Contrail refusal: toy score 2024-01-05..2024-01-07"


def test_a_failure_that_is_tried_again_says_so(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageStopped):
        run("import sys; sys.exit(75)", max_tries=2)
    assert "What to do: nothing yet; Airflow tries the task again" in capsys.readouterr().out
    with pytest.raises(StageStopped):
        run("import sys; sys.exit(75)", max_tries=1)
    assert "What to do: the retries are used up" in capsys.readouterr().out


def test_a_wrong_input_asks_for_a_new_run(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageRefused) as refused:
        run("print('{}')", partition_from="None")
    assert refused.value.message
    assert "trigger a new run; a cleared task would be given the same again" in refused.value.message.to_do
    assert refused.value.message.title.endswith("toy score backfill__2024-01-05T00:00:00+00:00"), "not `None`"


def test_the_last_line_is_a_sentence_and_an_outlet_gets_its_partition(capsys: pytest.CaptureFixture[str]) -> None:
    asset = Asset("toy.features")
    task = operator(outlets=[asset])
    result = StageResult(
        stage="score", pipeline="toy", partitions="2024-01-05", run_id="r", rows=1234, quarantined=2, seconds=3.21,
        details=ScoreDetails(
            model_name="toy", model_version="1", feature_snapshot=7, without_entities=(), predict_seconds=0.1,
            shadow=ShadowScoring(),
        ),
    )  # fmt: skip
    for partition_key, named in ((None, ["2024-01-05"]), ("2024-01-05", [])):
        events: dict[Asset, Any] = {asset: SimpleNamespace(keys=[])}
        events[asset].add_partitions = events[asset].keys.append
        task.finished(
            {"dag_run": SimpleNamespace(partition_key=partition_key), "outlet_events": events},  # type: ignore[typeddict-item]
            result.as_dict(),
        )
        assert events[asset].keys == named, "a run without a partition key has to say which day it was"
    assert "✓ score 2024-01-05: 1,234 rows, 2 in quarantine in 3.2 s" in capsys.readouterr().out


def test_a_command_learns_of_which_task_it_is_where_airflow_tells_lineage(monkeypatch: pytest.MonkeyPatch) -> None:
    day = datetime(2024, 1, 5, tzinfo=UTC)
    run = SimpleNamespace(logical_date=day, clear_number=0, start_date=day, run_after=day, triggering_user_name=None)
    instance = SimpleNamespace(
        **vars(CONTEXT["ti"]), logical_date=day, dag_run=run, get_template_context=lambda: {"dag_run": run}
    )
    context: Any = {"ti": instance, "dag_run": run}
    assert operator().job(context).variables == {"CONTRAIL_PERSON": "pipeline"}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", '{"type": "console"}')
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "there")
    job = operator().job(context)
    namespace, name, run_id = job.variables["OPENLINEAGE_PARENT_ID"].split("/")
    assert (namespace, name, len(run_id)) == ("there", "toy__backfill.score", 36)
    assert render_process(job, LocalTarget(kind="local"))["environment"] == job.variables


def test_a_command_learns_who_started_its_run() -> None:
    job = operator().job(CONTEXT)
    assert job.variables == {"CONTRAIL_PERSON": "anna"}
    assert render_process(job, LocalTarget(kind="local"))["environment"]["CONTRAIL_PERSON"] == "anna"

"""The operators that run stages and backfills: the same commands that a person types, each in a process of its own.

No stage's work belongs here. The command's exit code says whether a retry can help.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from contrail.errors import CommitConflictError

if TYPE_CHECKING:
    from airflow.sdk import Context


class StageStopped(AirflowException):
    """A stage ended with an error. ``code`` is its exit status, ``said`` the last lines that it printed."""

    def __init__(self, verb: str, code: int, said: str, hint: str) -> None:
        super().__init__(f"{verb} stopped with code {code}; {hint}. The lines above say why.")
        self.code = code
        self.said = said


class StageRefused(StageStopped, AirflowFailException):
    """It would end in the same way again, so that Airflow does not retry."""


RETRYABLE = CommitConflictError.exit_code
_SHOWN_LINES = 12
_ERROR_MARK = "✗"  # Contrail's own error begins with it; progress comes before
# Airflow kills a task 5 s after it has asked it to end; the stage must be gone by then.
_TERM_SECONDS = 3


class StageOperator(BaseOperator):
    """Run ``contrail stage VERB`` for a range of partitions.

    Args:
        verb: The stage.
        pipeline: The pipeline.
        partition_from: First partition, templated; by default the run's partition key.
        partition_to: Last partition, templated; by default the same.
        arguments: Further command line arguments, templated; empty ones are left out.
        skip_unless: Templated; the task is skipped when it renders to nothing.
        no_partition: What to tell a person whose run has no partition.

    Returns (XCom): the stage's result, see ``contrail.stages.base.StageResult``.
    """

    template_fields: Sequence[str] = ("partition_from", "partition_to", "arguments", "skip_unless")
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        verb: str,
        pipeline: str,
        partition_from: str = "{{ partition_key }}",
        partition_to: str = "{{ partition_key }}",
        arguments: Sequence[str] = (),
        skip_unless: str = "yes",
        no_partition: str = "this run has no partition. Trigger it with a partition key, for example 2013-11-01.",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.verb = verb
        self.pipeline = pipeline
        self.partition_from = partition_from
        self.partition_to = partition_to
        self.arguments = list(arguments)
        self.skip_unless = skip_unless
        self.no_partition = no_partition
        self._process: subprocess.Popen[str] | None = None
        self._watcher: threading.Thread | None = None

    def command(self, run_id: str) -> list[str]:
        """The command line of this task."""
        stage = [sys.executable, "-m", "contrail", "stage", self.verb, "--pipeline", self.pipeline]
        partitions = ["--from", self.partition_from, "--to", self.partition_to]
        return [*stage, *partitions, "--run-id", run_id, "--json", *(a for a in self.arguments if a)]

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the command, stream its progress into the task's log, and return its result.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing.
            StageRefused: for an error that the same call would meet again (data, spec, gate).
            StageStopped: for one that may pass (a lost commit, a killed process); Airflow retries.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException(f"{self.verb} was not asked for")
        if self.partition_from in ("", "None"):
            raise AirflowFailException(self.no_partition)
        return self._run(self.command(self.name_of(context["ti"])))

    def name_of(self, task_instance: Any) -> str:
        """The name of this attempt in the provenance."""
        return _as_name(f"{task_instance.run_id}-{task_instance.try_number}")

    def _run(self, command: list[str]) -> dict[str, Any]:
        self.log.info("Running: %s", " ".join(command[2:]))
        lines: deque[str] = deque(maxlen=_SHOWN_LINES)
        with tempfile.TemporaryFile("w+") as output:
            # A session of its own: ending its process group ends the stage with everything that it started.
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
            )
            self._watcher = threading.Thread(target=_end_with_leader, args=(self._process.pid,), daemon=True)
            self._watcher.start()
            try:
                assert self._process.stderr is not None
                level = logging.INFO
                for line in self._process.stderr:
                    lines.append(line.rstrip())
                    level = logging.ERROR if line.startswith(_ERROR_MARK) else level  # and all that follows
                    self.log.log(level, "%s", lines[-1])
                self._watcher.join()
            finally:
                self.on_kill()
            code = self._process.wait()
            output.seek(0)
            printed = output.read()
        if code:
            self._fail(code, list(lines))
        result = self._result(printed)
        self.log.info("Done: %s", json.dumps(result))
        return result

    def _result(self, printed: str) -> dict[str, Any]:
        """The stage's last line; a stage that says nothing has not kept its promise, and a retry would not help."""
        last = (printed.strip().splitlines() or [""])[-1]
        try:
            result = json.loads(last)
        except json.JSONDecodeError:
            result = None
        if not isinstance(result, dict):
            raise AirflowFailException(f"{self.verb} ended well but its last line is not a JSON object: {last[:200]!r}")
        return result

    def _fail(self, code: int, lines: Sequence[str]) -> None:
        begins = next((i for i, line in enumerate(lines) if line.startswith(_ERROR_MARK)), 0)
        said = "\n".join(lines[begins:])
        if code == RETRYABLE or code < 0 or code > 128:
            raise StageStopped(self.verb, code, said, "a retry may pass")
        raise StageRefused(self.verb, code, said, "a retry would fail again")

    def on_kill(self) -> None:
        """End the stage if it still runs; what it has not published is not visible to anybody."""
        if not (self._process and self._watcher and self._watcher.is_alive()):
            return
        _signal_group(self._process.pid, signal.SIGTERM)
        self._watcher.join(_TERM_SECONDS)
        if self._watcher.is_alive():
            _signal_group(self._process.pid, signal.SIGKILL)


class DayOperator(StageOperator):
    """Run ``contrail govern`` or ``contrail late`` for the run's partition.

    Returns (XCom): its result; what was decided or found is in ``details``.
    """

    def command(self, run_id: str) -> list[str]:
        """The command line of this task."""
        command = [sys.executable, "-m", "contrail", self.verb, "--pipeline", self.pipeline]
        return [*command, "--on", self.partition_from, "--run-id", run_id, "--json"]


class RetrainOperator(TriggerDagRunOperator):
    """Start a training run; the task is skipped when ``skip_unless``, templated, renders to nothing."""

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "skip_unless")

    def __init__(self, *, skip_unless: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.skip_unless = skip_unless

    def execute(self, context: "Context") -> None:
        """Trigger the DAG and go on without waiting for it.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing, or the run is there already.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException("the governor did not decide to retrain; its task says why")
        super().execute(context)


class BackfillOperator(StageOperator):
    """Run ``contrail backfill`` for a part of a backfill, or ``contrail difference`` at its end.

    Every task and every attempt of a run is a part of the one backfill that is named after the run; an attempt after one
    that was killed goes on where that one stopped.

    Args:
        verb: A stage; ``plan``, which shows what all stages asked for would do and does nothing; or ``difference``.
        **kwargs: As for ``StageOperator``.

    Returns (XCom): the plan, or what was done.
    """

    def command(self, run_id: str) -> list[str]:
        """The command line of this task."""
        contrail = [sys.executable, "-m", "contrail"]
        if self.verb == "difference":
            return [*contrail, "difference", "--pipeline", self.pipeline, "--id", run_id, "--json"]
        range_ = ["--pipeline", self.pipeline, "--from", self.partition_from, "--to", self.partition_to]
        part = ["--dry-run"] if self.verb == "plan" else ["--stages", self.verb, "--id", run_id, "--no-report"]
        return [*contrail, "backfill", *range_, *part, "--json", *(a for a in self.arguments if a)]

    def name_of(self, task_instance: Any) -> str:
        """The name of the backfill, the same for each of its tasks and attempts."""
        return _as_name(task_instance.run_id)


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


def _end_with_leader(pid: int) -> None:
    """Kill what is left of the stage's process group as soon as the stage itself is gone.

    A child that outlives it (its engine, after an out-of-memory kill) would keep the pipe open and the task waiting
    until its timeout. WNOWAIT leaves the exit status to ``Popen.wait``, so the process id cannot have a new owner yet.
    """
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)

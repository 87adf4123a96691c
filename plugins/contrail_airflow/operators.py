"""The operator that runs a stage: the same command that a person types, in a process of its own.

No stage's work belongs here. The command's exit code says whether a retry can help.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from contrail.errors import CommitConflictError

if TYPE_CHECKING:
    from airflow.sdk import Context

RETRYABLE = CommitConflictError.exit_code
_SHOWN_LINES = 12


class StageOperator(BaseOperator):
    """Run ``contrail stage VERB`` for a range of partitions.

    Args:
        verb: The stage.
        pipeline: The pipeline.
        partition_from: First partition, templated; by default the run's partition key.
        partition_to: Last partition, templated; by default the same.
        arguments: Further command line arguments, templated; empty ones are left out.
        skip_unless: Templated; the task is skipped when it renders to nothing.

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.verb = verb
        self.pipeline = pipeline
        self.partition_from = partition_from
        self.partition_to = partition_to
        self.arguments = list(arguments)
        self.skip_unless = skip_unless
        self._process: subprocess.Popen[str] | None = None

    def command(self, run_id: str) -> list[str]:
        """The command line of this task."""
        stage = [sys.executable, "-m", "contrail", "stage", self.verb, "--pipeline", self.pipeline]
        partitions = ["--from", self.partition_from, "--to", self.partition_to]
        return [*stage, *partitions, "--run-id", run_id, "--json", *(a for a in self.arguments if a)]

    def execute(self, context: "Context") -> dict[str, Any]:
        """Run the command, stream its progress into the task's log, and return its result.

        Raises:
            AirflowSkipException: if ``skip_unless`` rendered to nothing.
            AirflowFailException: for an error that the same call would meet again (data, spec, gate).
            AirflowException: for one that may pass (a lost commit, a killed process); Airflow retries.
        """
        if not self.skip_unless.strip():
            raise AirflowSkipException(f"{self.verb} was not asked for")
        if not self.partition_from or self.partition_from == "None":
            raise AirflowFailException(
                "this run has no partition. Trigger it with a partition key, for example 2013-11-01."
            )
        task_instance = context["ti"]
        run_id = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{task_instance.run_id}-{task_instance.try_number}")
        return self._run(self.command(run_id))

    def _run(self, command: list[str]) -> dict[str, Any]:
        self.log.info("Running: %s", " ".join(command[2:]))
        lines: list[str] = []
        with tempfile.TemporaryFile("w+") as output:
            # A session of its own: on_kill ends the stage with everything that it started.
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
            assert self._process.stderr is not None
            for line in self._process.stderr:
                lines.append(line.rstrip())
                self.log.info("%s", lines[-1])
            code = self._process.wait()
            output.seek(0)
            printed = output.read().strip()
        if code:
            self._fail(code, lines)
        result: dict[str, Any] = json.loads(printed.splitlines()[-1])
        self.log.info("Done: %s", json.dumps(result))
        return result

    def _fail(self, code: int, lines: list[str]) -> None:
        said = "\n".join(lines[-_SHOWN_LINES:])
        if code == RETRYABLE or code < 0 or code > 128:
            raise AirflowException(f"{self.verb} stopped with code {code}; a retry may pass.\n{said}")
        raise AirflowFailException(f"{self.verb} failed with code {code}; a retry would fail again.\n{said}")

    def on_kill(self) -> None:
        """End the stage; what it has not published is not visible to anybody."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)

"""A stage as a process of this machine, with any engine."""

import logging
from typing import Any

from contrail.config.targets import LocalTarget, SparkTarget
from contrail.dispatch.payload import Job, render_process
from contrail_airflow.operators.ending import fail, printed_result, teller
from contrail_airflow.operators.stage_process import StageProcess


class LocalRun:
    """One attempt of a task on this machine."""

    def __init__(self, job: Job, target: LocalTarget | SparkTarget, log: logging.Logger) -> None:
        self._job, self._target, self._log = job, target, log
        self._process: StageProcess | None = None
        self._killed = False

    def run(self) -> dict[str, Any]:
        """The stage's result, with its progress in the task's log.

        Raises:
            StageStopped: when the stage ended with an error. It is a ``StageRefused`` where a retry would fail again.
        """
        payload = render_process(self._job, self._target)
        self._log.info("Running: contrail %s", " ".join(self._job.command))
        self._process = StageProcess(payload["command"], payload["environment"])
        if self._killed:
            self._process.end()
        code, lines, printed = self._process.wait(teller(self._log))
        if code:
            fail(self._job.stage, code, lines)
        return printed_result(self._job.stage, printed)

    def end(self) -> None:
        """End the process now, or as soon as it starts."""
        self._killed = True
        if self._process:
            self._process.end()

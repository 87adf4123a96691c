"""A job that is started again: Vertex AI does so with a container that failed, and after maintenance of its host."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud.aiplatform_v1.types import CustomJob, job_service
from tests.loopback.refusals import no_quota
from tests.loopback.vertex import JobState, Vertex
from tests.unit.dispatch.test_code import IMAGE_LOCK
from tests.unit.dispatch.test_code import image as image  # a fixture
from tests.unit.dispatch.test_payload import DISPATCH, JOB

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings, VertexTarget
from contrail.dispatch import bootstrap
from contrail.dispatch.code import publish_code
from contrail.dispatch.outcome import read_outcome
from contrail.dispatch.payload import render_custom_job

AGAIN = "this attempt has ended before"
FAILS = ("history", "predictions", "--pipeline", "toy", "--json")


@pytest.fixture
def current(toy_home: Path, tmp_path: Path) -> Settings:
    return settings().model_copy(update={"dispatch": DispatchSettings(jobs_uri=f"file://{tmp_path}/jobs")})


class Container:
    """The command of one attempt, started as often as a test likes in the same place."""

    def __init__(self, current: Settings, *command: str) -> None:
        code = publish_code(current)
        self.folder = Path(f"{current.dispatch.jobs_uri}/toy/job".removeprefix("file://"))
        self.result = self.folder / "result.json"
        given = {
            "wheel": code.wheel_uri,
            "sha256": code.wheel_sha256,
            "revision": code.revision,
            "lock": code.lock_sha256,
        }
        names = [f"--{name}={value}" for name, value in given.items()]
        self.arguments = [*names, f"--folder=file://{self.folder}", "--variable=CONTRAIL_ENV=dev", "--", *command]

    def begin(self) -> subprocess.Popen[str]:
        own = ("CONTRAIL", "PYTHONPATH")
        bare = {name: value for name, value in os.environ.items() if not name.startswith(own) or name == IMAGE_LOCK}
        command = [sys.executable, bootstrap.__file__, *self.arguments]
        return subprocess.Popen(
            command, env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def start(self) -> tuple[int, str, str]:
        """Its exit status, its output, and its errors."""
        process = self.begin()
        printed, errors = process.communicate()
        return process.returncode, printed, errors


def test_what_counts_is_the_first_result_and_nothing_runs_twice(current: Settings, image: Path) -> None:
    container = Container(current, *FAILS)
    first = container.start()
    left, log = container.result.read_bytes(), (container.folder / "log.txt").read_bytes()
    again = container.start()
    assert (first[0], AGAIN in first[1]) == (3, False)
    assert again[0] == 3, "the status that was recorded"
    assert again[1].startswith(AGAIN) and len(again[1].splitlines()) == 1, "and nothing of a stage"
    assert again[2] == first[2] != "", "people are told the same reason"
    assert (container.result.read_bytes(), (container.folder / "log.txt").read_bytes()) == (left, log)


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b'{"code": 0, "result": {"ro',
        b'{"code": 0, "result": null, "said": []}',
        json.dumps({"code": 0, "result": None, "said": [], "of": "another attempt"}).encode(),
    ],
    ids=["nothing", "half", "of another release", "of another attempt"],
)
def test_a_result_that_is_not_whole_or_not_its_own_is_written_anew(current: Settings, image: Path, left: bytes) -> None:
    container = Container(current, "status", "--pipeline", "toy")
    container.folder.mkdir(parents=True)
    container.result.write_bytes(left)
    if not left.endswith(b"}"):
        assert read_outcome(f"file://{container.folder}") is None, "and nobody takes it for one meanwhile"
    code, printed, _ = container.start()
    assert AGAIN not in printed
    found = read_outcome(f"file://{container.folder}")
    assert found is not None
    assert (found.code, len(found.said) > 0) == (code, True)


def test_a_store_that_does_not_answer_is_not_taken_for_an_attempt_without_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable(*_: Any) -> None:
        raise OSError("connection reset")

    def never(*_: Any) -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr(bootstrap, "_recorded", unavailable)
    monkeypatch.setattr(bootstrap, "_prepare", never)
    asked = [f"--{name}=x" for name in ("wheel", "sha256", "revision", "lock")]
    assert bootstrap.main([*asked, f"--folder=file://{tmp_path}/job", "--", "status"]) == 75
    assert "could not be read: connection reset" in capsys.readouterr().err
    assert not (tmp_path / "job").exists(), "a result that may be there is not overwritten"


def test_a_job_whose_machine_vanished_runs_again_and_leaves_a_whole_result(current: Settings, image: Path) -> None:
    container = Container(current, "land", "--pipeline", "toy", "--from", "2024-01-01", "--to", "2024-01-25")
    process = container.begin()
    assert process.stdout is not None
    process.stdout.readline()  # the stage is at work
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not container.result.exists()
    code, printed, errors = container.start()
    assert (code, AGAIN in printed) == (0, False), errors
    assert container.start()[1].startswith(AGAIN)


# ---- as Vertex AI does ----


def submitted(current: Settings, tmp_path: Path) -> tuple[Vertex, CustomJob]:
    """A job of the loopback's Vertex AI, which runs the real bootstrap."""
    target = DISPATCH.targets["gpu"]
    assert isinstance(target, VertexTarget)
    job = JOB.__class__(**{**JOB.__dict__, "command": FAILS})
    body = render_custom_job(job, target, current.dispatch, publish_code(current), {"CONTRAIL_ENV": "dev"})
    vertex = Vertex(tmp_path, target.image, Path(bootstrap.__file__), tmp_path / "held")
    parent = f"projects/demo/locations/{target.region}"
    return vertex, vertex.create(job_service.CreateCustomJobRequest(parent=parent, custom_job=CustomJob(body)))


def until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_a_container_that_fails_is_started_again_and_leaves_what_it_left(current: Settings, tmp_path: Path) -> None:
    _, job = submitted(current, tmp_path)
    until(lambda: job.state == JobState.JOB_STATE_FAILED)
    (log,) = tmp_path.glob("custom/*/log")
    assert log.read_text().count(AGAIN) == 1
    assert "status of 3." in job.error.message and "no table 'predictions'" in job.error.message
    (result,) = tmp_path.glob("jobs/toy/*/result.json")
    assert json.loads(result.read_text())["code"] == 3


def test_without_quota_a_job_stays_queued_and_ends_without_having_begun(current: Settings, tmp_path: Path) -> None:
    missing = no_quota(tmp_path, "g2-standard-8", spot=True)
    missing.touch()
    vertex, job = submitted(current, tmp_path)
    time.sleep(0.6)
    assert (job.state, job.start_time) == (JobState.JOB_STATE_QUEUED, None)
    vertex.cancel(job_service.CancelCustomJobRequest(name=job.name))
    until(lambda: job.state == JobState.JOB_STATE_CANCELLED)
    assert job.start_time is None and job.end_time <= datetime.now(UTC)
    assert list(tmp_path.glob("jobs/toy/*")) == []

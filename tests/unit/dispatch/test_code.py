"""The wheel of a remote job, and the bootstrap that runs it: the right code or none, the result left behind."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gcsfs.retry import HttpError

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings
from contrail.dispatch import bootstrap
from contrail.dispatch.code import build_wheel, publish_code
from contrail.dispatch.outcome import Outcome, read_outcome
from contrail.revision import lock_hash

IMAGE_LOCK = "CONTRAIL_IMAGE_LOCK"


@pytest.fixture
def current(toy_home: Path, tmp_path: Path) -> Settings:
    return settings().model_copy(update={"dispatch": DispatchSettings(jobs_uri=f"file://{tmp_path}/jobs")})


@pytest.fixture
def image(current: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the job image says of its libraries: they are those of this checkout's lock."""
    lock = tmp_path / "requirements.sha256"
    lock.write_text(f"{lock_hash(current.project_path)}\n")
    monkeypatch.setenv(IMAGE_LOCK, str(lock))
    monkeypatch.setattr(bootstrap, "_IMAGE_LOCK", lock)
    return lock


def test_no_row_of_a_strangers_sample_leaves_this_machine(current: Settings, tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines"
    (pipelines / "own" / "sample").mkdir(parents=True)
    (pipelines / "own" / "pipeline.yaml").touch()
    (pipelines / "own" / "sample" / "people.csv").touch()
    wheel = build_wheel(current.model_copy(update={"pipelines_path": pipelines}), tmp_path)
    names = [name for name in zipfile.ZipFile(wheel).namelist() if "/pipelines/" in name]
    assert names == ["contrail_project/include/pipelines/own/pipeline.yaml"]


def test_the_same_checkout_makes_the_same_wheel(current: Settings, tmp_path: Path) -> None:
    wheels = [build_wheel(current, tmp_path / name) for name in ("a", "b")]
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    names = zipfile.ZipFile(wheels[0]).namelist()
    for name in (
        "contrail/stages/score.py",
        "contrail/reports/templates/decision.html.j2",
        "contrail_project/requirements.txt",
        "contrail_project/include/environments/dev.yaml",
        "contrail_project/include/prices/google_cloud.yaml",
        "contrail_project/include/pipelines/toy/pipeline.yaml",
    ):
        assert name in names
    assert not [name for name in names if "__pycache__" in name]


def test_code_is_uploaded_once_under_its_content(current: Settings) -> None:
    first = publish_code(current)
    written = Path(first.wheel_uri.removeprefix("file://"))
    assert hashlib.sha256(written.read_bytes()).hexdigest() == first.wheel_sha256 == written.parent.name
    before = written.stat().st_mtime_ns
    assert publish_code(current) == first
    assert written.stat().st_mtime_ns == before


@dataclass(frozen=True)
class Ended:
    """A bootstrap that ended as a job does: its exit status, what it left, and what it printed."""

    code: int
    left: Outcome
    printed: str
    errors: str


def start(current: Settings, *command: str, **changed: str) -> Ended:
    """Run the bootstrap as a job does."""
    code = publish_code(current)
    folder = f"{current.dispatch.jobs_uri}/toy/job-{len(changed)}-{command[0]}"
    given = {
        "wheel": code.wheel_uri, "sha256": code.wheel_sha256, "revision": code.revision, "lock": code.lock_sha256,
        "folder": folder, **changed,
    }  # fmt: skip
    own = ("CONTRAIL", "PYTHONPATH")
    bare = {name: value for name, value in os.environ.items() if not name.startswith(own) or name == IMAGE_LOCK}
    arguments = [*(f"--{name}={value}" for name, value in given.items()), "--variable=CONTRAIL_ENV=dev", "--", *command]
    done = subprocess.run(
        [sys.executable, bootstrap.__file__, *arguments], env=bare, capture_output=True, text=True, check=False
    )
    found = read_outcome(folder)
    assert found is not None, done.stderr
    assert done.returncode == found.code
    return Ended(found.code, found, done.stdout, done.stderr)


def test_a_job_runs_the_code_that_submitted_it_and_leaves_its_result(current: Settings, image: Path) -> None:
    job = start(current, "history", "predictions", "--pipeline", "toy", "--json")
    assert job.code == 3, job
    assert "no table 'predictions'" in job.left.said[-1]
    folder = Path(f"{current.dispatch.jobs_uri}/toy/job-0-history".removeprefix("file://"))
    assert "no table 'predictions'" in (folder / "log.txt").read_text()


def test_a_job_logs_an_error_only_where_it_fails(current: Settings, image: Path) -> None:
    """Vertex AI logs standard error as errors, and people are told of those."""
    well = start(current, "land", "--pipeline", "toy", "--from", "2024-01-01", "--to", "2024-01-01")
    assert (well.code, well.errors) == (0, "")
    assert "land toy 2024-01-01: writing to" in well.printed
    ill = start(current, "history", "predictions", "--pipeline", "toy", "--json")
    assert ill.errors.splitlines() == [ill.left.said[-1]]
    assert ill.left.said[-1] in ill.printed


def test_the_log_of_a_job_whose_machine_is_taken_away_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_LOG_SECONDS", 0.05)
    lines = deque(["first"])
    with bootstrap._log_kept(f"file://{tmp_path}/job", lines):
        for said in ("first\n", "first\nsecond\n"):
            end = time.monotonic() + 20
            while not (log := tmp_path / "job" / "log.txt").exists() or log.read_text() != said:
                assert time.monotonic() < end, "never written"
                time.sleep(0.01)
            lines.append("second")
    assert read_outcome(f"file://{tmp_path}/job") is None


def test_the_stage_sees_its_own_pipelines_and_the_revision(current: Settings, image: Path) -> None:
    script = (
        "import json; from contrail.config.settings import settings; from contrail.revision import code_revision; "
        "print(json.dumps([str(settings().pipelines_path), code_revision(settings().project_path)]))"
    )
    code = publish_code(current)
    place = Path(current.home_path)
    place.mkdir(parents=True)
    asked = bootstrap._parse(
        [f"--wheel={code.wheel_uri}", f"--sha256={code.wheel_sha256}", "--revision=abc+dirty", f"--lock={code.lock_sha256}",
         "--folder=x", "--", "stage"]
    )  # fmt: skip
    environment = bootstrap._prepare(asked, place)
    environment.pop("CONTRAIL_PIPELINES")
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [f"{place}/code/contrail_project/include/pipelines", "abc+dirty"]


def test_the_error_of_a_job_is_one_line() -> None:
    assert bootstrap._reason(3, ["reading", "✗ MissingInputError: no features", "leaked 2 instances"]).startswith("✗")
    assert bootstrap._reason(-9, ["reading", "round 100"]) == "round 100"
    assert bootstrap._reason(-9, []) == "ended with code -9"


def test_other_code_is_refused(current: Settings, image: Path) -> None:
    job = start(current, "status", sha256="0" * 64)
    assert job.code == 2
    assert "the job was submitted with 0000" in job.left.said[-1]


def test_an_image_of_other_libraries_is_refused(current: Settings, image: Path) -> None:
    image.write_text("another\n")
    job = start(current, "status")
    assert job.code == 2
    assert "the image was built from the lock another" in job.left.said[-1]
    image.unlink()
    assert "the image was built from the lock (unknown)" in start(current, "land").left.said[-1]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError("artifacts/code.whl"), 2, "was refused: artifacts/code.whl"),
        (OSError("Forbidden: artifacts/code.whl"), 2, "was refused: Forbidden"),
        (zipfile.BadZipFile("no wheel"), 2, "was refused"),
        (OSError("connection reset"), 75, "could not be fetched: connection reset"),
        (HttpError({"code": 503, "message": "later"}), 75, "could not be fetched: later"),
    ],
)
def test_code_that_cannot_be_had_now_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    def fetch(*_: Any) -> None:
        raise error

    monkeypatch.setattr(bootstrap, "_prepare", fetch)
    folder = f"file://{tmp_path}/job"
    asked = [f"--{name}=x" for name in ("wheel", "sha256", "revision", "lock")]
    assert bootstrap.main([*asked, f"--folder={folder}", "--", "status"]) == code
    left = read_outcome(folder)
    assert left is not None
    assert left.code == code
    assert words in left.said[-1]

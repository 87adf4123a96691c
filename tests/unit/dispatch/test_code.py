"""The wheel of a remote job, and the bootstrap that runs it: the right code or none, the result left behind."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from contrail.dispatch import bootstrap
from contrail.dispatch.code import build_wheel, publish_code
from contrail.dispatch.outcome import read_outcome, read_tail
from contrail.settings import Settings, settings
from contrail.targets import DispatchSettings


@pytest.fixture
def current(toy_home: Path, tmp_path: Path) -> Settings:
    return settings().model_copy(update={"dispatch": DispatchSettings(jobs_uri=f"file://{tmp_path}/jobs")})


def test_the_same_checkout_makes_the_same_wheel(current: Settings, tmp_path: Path) -> None:
    wheels = [build_wheel(current, tmp_path / name) for name in ("a", "b")]
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    names = zipfile.ZipFile(wheels[0]).namelist()
    for name in (
        "contrail/stages/score.py",
        "contrail/templates/decision.html.j2",
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


def start(current: Settings, *command: str, **changed: str) -> tuple[int, dict[str, Any], str]:
    """Run the bootstrap as a job does; its exit status, what it left, and its log."""
    code = publish_code(current)
    folder = f"{current.dispatch.jobs_uri}/toy/job-{len(changed)}-{command[0]}"
    given = {
        "wheel": code.wheel_uri, "sha256": code.wheel_sha256, "revision": code.revision, "lock": code.lock_sha256,
        "folder": folder, **changed,
    }  # fmt: skip
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("CONTRAIL", "PYTHONPATH"))}
    arguments = [*(f"--{name}={value}" for name, value in given.items()), "--variable=CONTRAIL_ENV=dev", "--", *command]
    done = subprocess.run(
        [sys.executable, bootstrap.__file__, *arguments], env=bare, capture_output=True, text=True, check=False
    )
    found = read_outcome(folder)
    assert found is not None, done.stderr
    return done.returncode, {"code": found.code, "result": found.result, "said": found.said}, done.stderr


def test_a_job_runs_the_code_that_submitted_it_and_leaves_its_result(current: Settings) -> None:
    code, left, _ = start(current, "history", "predictions", "--pipeline", "toy", "--json")
    assert code == left["code"] == 3, left
    assert "no table 'predictions'" in left["said"][-1]
    folder = Path(f"{current.dispatch.jobs_uri}/toy/job-0-history".removeprefix("file://"))
    assert "no table 'predictions'" in (folder / "log.txt").read_text()


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


def test_the_stage_sees_its_own_pipelines_and_the_revision(current: Settings) -> None:
    script = (
        "import json; from contrail.settings import settings; from contrail.revision import code_revision; "
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


def test_other_code_is_refused(current: Settings) -> None:
    code, left, _ = start(current, "status", sha256="0" * 64)
    assert code == left["code"] == 2
    assert "the job was submitted with 0000" in left["said"][-1]


def test_an_image_of_other_libraries_is_refused(
    current: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    lock.write_text("another\n")
    monkeypatch.setattr(bootstrap, "_IMAGE_LOCK", lock)
    code = publish_code(current)
    asked = bootstrap._parse(
        [
            f"--wheel={code.wheel_uri}",
            f"--sha256={code.wheel_sha256}",
            "--revision=r",
            f"--lock={code.lock_sha256}",
            "--folder=x",
        ]
    )
    with pytest.raises(ValueError, match="the image was built from the lock another"):
        bootstrap._prepare(asked, tmp_path)


def test_what_a_job_left(tmp_path: Path) -> None:
    assert read_outcome(f"file://{tmp_path}") is None
    for part, text in (("driver.000000000", "a\nb\n"), ("driver.000000001", "c\nd\n")):
        (tmp_path / part).write_text(text)
    assert read_tail(f"file://{tmp_path}/driver", 1) == ["d"]
    assert read_tail("", 5) == []
    assert read_tail(f"file://{tmp_path}/none", 5) == []

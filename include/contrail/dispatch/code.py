"""The code of a remote job: one wheel of this checkout, named by its content and uploaded once."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from upath import UPath

from contrail.config.settings import Settings
from contrail.dispatch.payload import Code
from contrail.errors import EngineError
from contrail.files import scratch, write_whole
from contrail.revision import code_revision, lock_hash

_PACKAGE = Path(__file__).resolve().parents[1]
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_PROJECT_FILES = ("requirements.txt", "include/environments", "include/prices")
# The SHA-256 tells one wheel from another, not the version.
_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "contrail-job"
version = "0"
[tool.hatch.build.targets.wheel]
packages = ["contrail", "contrail_project"]
"""
# The earliest time that a zip archive can store. With it, the same files make the same bytes.
_EPOCH = "315532800"


def build_wheel(settings: Settings, folder: Path) -> Path:
    """Build the wheel. The same checkout gives the same bytes.

    It has the package ``contrail``. Its package ``contrail_project`` has the pipelines, environments, prices and the lock.

    Raises:
        EngineError: when the build fails.
    """
    with scratch("contrail-wheel-") as source:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(_PACKAGE, source / "contrail", ignore=ignore)
        project = source / "contrail_project"
        for name in _PROJECT_FILES:
            found = settings.project_path / name
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if found.is_dir() else shutil.copy2
            copy(found, project / name)
        # The sample of `contrail new` has a stranger's rows, which git ignores too. No job lands files from it.
        ignore = shutil.ignore_patterns("__pycache__", ".*", "sample")
        shutil.copytree(settings.pipelines_path, project / "include" / "pipelines", ignore=ignore)
        (source / "pyproject.toml").write_text(_PYPROJECT)
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
            cwd=source, env={**os.environ, "SOURCE_DATE_EPOCH": _EPOCH}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise EngineError(f"the job's wheel could not be built from {settings.project_path}:\n{done.stderr[-2000:]}")
    (wheel,) = folder.glob("contrail_job-*.whl")
    return wheel


def publish_code(settings: Settings) -> Code:
    """Build the code of this checkout, and upload it to the jobs' folder unless it is there already.

    Raises:
        EngineError: when the wheel cannot be built.
    """
    folder = UPath(f"{settings.dispatch.jobs_uri}/code")
    with scratch("contrail-wheel-") as place:
        wheel = build_wheel(settings, place)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        wheel_uri = _put(wheel, folder / digest)
        bootstrap_uri = _put(_BOOTSTRAP, folder / hashlib.sha256(_BOOTSTRAP.read_bytes()).hexdigest())
    project = settings.project_path
    return Code(wheel_uri, digest, bootstrap_uri, code_revision(project), lock_hash(project))


def _put(path: Path, folder: UPath) -> str:
    target = folder / path.name
    if not target.exists():
        write_whole(target, path.read_bytes())
    return str(target)

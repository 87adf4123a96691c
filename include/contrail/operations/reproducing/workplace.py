"""Where a model is reproduced: a scratch folder of the home, the code of a revision, and an environment of a kept lock.

All of it goes at the end. What a killed run left goes when the next one begins.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from contrail.adapters import data_versions, worktrees
from contrail.config.settings import Settings
from contrail.errors import DataError, EngineError, MissingInputError
from contrail.locks import locked
from contrail.methods.model_package import TrainingRecord
from contrail.revision import code_hash, code_revision

_SCRATCH = "reproduce-"
_DIRTY = "+dirty"
_TOLD = 2000  # last characters of what uv says


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """Make a scratch folder in the home for the length of a block, one at a time, and remove what killed runs left.

    Raises:
        EngineError: when another process of the home reproduces a model for minutes.
    """
    above = settings.home_path / "tmp"
    with locked(settings.home_path / "locks" / "reproduce", "reproduces a model in this home"):
        above.mkdir(parents=True, exist_ok=True)
        worktrees.remove_left(settings.project_path, above)
        for left in above.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = above / f"{_SCRATCH}{uuid4().hex}"
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True)
class Code:
    """Code to fit with. ``project`` is its folder, ``revision`` its commit, and ``kept`` says that it is the training's."""

    project: Path
    revision: str
    kept: bool
    pipelines: Path


@contextmanager
def code_of(settings: Settings, record: TrainingRecord, scratch: Path) -> Iterator[Code]:
    """Yield the code of a training: its revision in a worktree, or today's where git does not have it.

    Code with changes that nobody committed is only here, if it still is. Then it is used as it is.
    """
    project, revision = settings.project_path, record.code_revision.removesuffix(_DIRTY)
    dirty = record.code_revision.endswith(_DIRTY)
    if not worktrees.has_revision(project, revision) or (dirty and record.code_hash == code_hash()):
        yield Code(project, code_revision(project), False, settings.pipelines_path)
        return
    with worktrees.checked_out(project, revision, scratch) as folder:
        own = settings.pipelines_path.resolve()
        inside = own.is_relative_to(project.resolve())
        pipelines = folder / own.relative_to(project.resolve()) if inside else own
        yield Code(folder, revision, True, pipelines)


def fetch_rows(settings: Settings, record: TrainingRecord, scratch: Path) -> tuple[Path, str | None]:
    """Fetch the training set into the scratch folder. The second value says why it cannot be had."""
    path = scratch / "rows.parquet"
    try:
        data_versions.fetch(settings, record.training_set_md5, path)
    except MissingInputError as error:
        return (
            path,
            f"{error}; `forget` removes a training set that has a person's rows, and `maintain` one that is unnamed",
        )
    except DataError as error:
        return path, str(error)
    return path, None


def install(lock: str | None, scratch: Path, progress: Callable[[str], None]) -> Path:
    """Make an environment of a kept lock with uv, and return its Python.

    Raises:
        MissingInputError: when nobody has the lock.
        EngineError: when uv cannot install it.
    """
    if lock is None:
        raise MissingInputError(
            "--environment needs the lock of the training, and it is neither here nor in its git revision. "
            "Fetch the whole history (git fetch --unshallow), or leave --environment out."
        )
    text, place = scratch / "requirements.txt", scratch / "environment"
    text.write_text(lock)
    python = place / "bin" / "python"
    progress("installing the kept lock with uv")
    _uv("venv", "--quiet", "--python", sys.executable, str(place))
    _uv("pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--requirement", str(text))
    return python


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise EngineError("--environment needs uv, and it is not installed here. Run: make setup")
    done = subprocess.run([uv, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(
            f"uv could not install the kept lock: {done.stderr.strip()[-_TOLD:]}. Nothing was changed. Run it again with a "
            "network, or leave --environment out."
        )

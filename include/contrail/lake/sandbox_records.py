"""Which sandboxes there are: a record for each, by which every process knows that a sandbox is whole.

A record is written last when a sandbox is made, and removed first when it is dropped. What is between has no record, and
nobody reads it. Making and dropping belong to ``sandboxes``.
"""

from collections.abc import Mapping
from datetime import datetime

from upath import UPath

from contrail.config.names import sandbox_problem
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import MissingInputError
from contrail.files import write_whole
from contrail.frozen import Frozen

FOLDER = "sandboxes"
_FILE = "sandbox.json"
# The property of a sandbox's table with the folder of the main lake's table whose files it began with.
BASE = "contrail.sandbox_of"


class Pinned(Frozen):
    """A table of the main lake when the sandbox was made: its snapshot, None where it had none, and its folder."""

    snapshot: int | None
    location: str


class Sandbox(Frozen):
    """A sandbox of one pipeline. ``versions`` is the number of the newest model version that was there already, or 0."""

    name: str
    pipeline: str
    made_at: datetime
    made_by: str
    code_revision: str
    pipeline_hash: str
    tables: Mapping[str, Pinned]
    versions: int

    @property
    def snapshots(self) -> dict[str, int | None]:
        """The pinned snapshot of each table."""
        return {name: one.snapshot for name, one in self.tables.items()}


def check(settings: Settings, pipeline: str) -> None:
    """Refuse to work in a sandbox that is not there.

    Raises:
        MissingInputError: naming the sandboxes of the pipeline, and the command that makes one.
    """
    if settings.sandbox and find(settings, pipeline) is None:
        raise absent(settings, settings.sandbox, pipeline)


def absent(settings: Settings, name: str, pipeline: str = "") -> MissingInputError:
    """The error that says that there is no sandbox of this name, of one pipeline or of any."""
    known = ", ".join(sorted({one[0] for one in names(settings) if pipeline in ("", one[1])})) or "none yet"
    of, example = (f" of pipeline '{pipeline}'", pipeline) if pipeline else ("", "NAME")
    return MissingInputError(
        f"there is no sandbox '{name}'{of}. Sandboxes: {known}. A stage makes one when it runs in it, for example: "
        f"contrail features --pipeline {example} --sandbox {name} --from DATE"
    )


def find(settings: Settings, pipeline: str) -> Sandbox | None:
    """Read the record of a pipeline in the sandbox that these settings are in."""
    path = _path(settings, pipeline)
    return _read(path) if path.exists() else None


def every(settings: Settings, pipeline: str = "*") -> list[Sandbox]:
    """Read the records of all sandboxes, or of those of one pipeline, by their names.

    Raises:
        DataError: when one is damaged.
    """
    return [_read(path) for path in _records(settings, pipeline)]


def names(settings: Settings) -> list[tuple[str, str]]:
    """List each sandbox with each of its pipelines, also where the record is damaged."""
    found = [(path.parent.parent.name, path.parent.name) for path in _records(settings)]
    return [one for one in found if not sandbox_problem(one[0], ())]


def write(settings: Settings, record: Sandbox) -> None:
    """Write a record: from here on the sandbox is there. ``settings`` are in it."""
    write_whole(_path(settings, record.pipeline), record.model_dump_json(indent=1).encode() + b"\n")


def remove(settings: Settings, pipeline: str) -> None:
    """Remove a record: from here on nobody reads the sandbox."""
    if (path := _path(settings, pipeline)).exists():
        path.unlink()


def _records(settings: Settings, pipeline: str = "*") -> list[UPath]:
    folder = settings.main.reports / FOLDER
    return sorted(folder.glob(f"*/{pipeline}/{_FILE}"), key=str) if folder.exists() else []


def _read(path: UPath) -> Sandbox:
    return parse_json(Sandbox, path.read_bytes(), str(path))


def _path(settings: Settings, pipeline: str) -> UPath:
    return settings.reports / pipeline / _FILE

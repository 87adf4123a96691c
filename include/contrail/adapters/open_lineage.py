"""Where events of lineage go: files by default, or the backend that OpenLineage's own variables name.

What an event says belongs to ``contrail.stages.lineage_events``.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fsspec.implementations.local import LocalFileSystem

from contrail.config.settings import Settings, names_lineage_backend
from contrail.files import write_whole
from contrail.locks import locked

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

_WAIT_SECONDS = 30


def emit(event: "RunEvent", settings: Settings, pipeline: str) -> None:
    """Send one event.

    Without a backend it becomes a line of ``<lineage>/<pipeline>/<month>.jsonl``. An object store cannot append, so there
    it becomes the file ``<lineage>/<pipeline>/<month>/<run>-<type>.json``.

    Raises:
        Exception: whatever keeps the event from being sent.
    """
    from openlineage.client import OpenLineageClient
    from openlineage.client.serde import Serde

    if names_lineage_backend():
        OpenLineageClient().emit(event)
        return
    folder, month = settings.lineage / pipeline, f"{datetime.now(UTC):%Y-%m}"
    line = Serde.to_json(event).encode() + b"\n"
    if isinstance(folder.fs, LocalFileSystem):
        with locked(settings.home_path / "locks" / "lineage", "writes its lineage", _WAIT_SECONDS):
            _append(Path(str(folder / f"{month}.jsonl")), line)
    else:
        kind = event.eventType.value if event.eventType else "OTHER"
        write_whole(folder / month / f"{event.run.runId}-{kind}.json", line)


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # a full disk cut the last event off: only that one is lost
                line = b"\n" + line
        file.write(line)

"""What the processes of a storm did and saw, as lines of JSON: a file for each process, which nobody else writes.

Every commit to a table of the SQL catalog is written down with the metadata that it replaced. So the commits of a table are
one chain, and its order is the order in which they happened. What the lines mean is judged in ``judge``.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contrail.lake.sql_catalog import RememberingSqlCatalog


class Journal:
    """A folder of such files. ``operation`` names the operation that this process is at."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.operation = folder, ""

    def write(self, what: str, **values: Any) -> None:
        """Add a line of a kind."""
        with (self.folder / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(f"{json.dumps({'what': what, 'operation': self.operation, **values})}\n")

    def lines(self, what: str) -> Iterator[dict[str, Any]]:
        """Read the lines of a kind, of all processes."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open() as file:
                yield from (line for line in map(json.loads, file) if line["what"] == what)

    def watch_commits(self) -> None:
        """Write down every commit of this process, and of those that it forks. Times are of one clock for all."""
        real, write = RememberingSqlCatalog.commit_table, RememberingSqlCatalog._write_metadata
        written: list[str] = []

        def write_metadata(metadata: Any, io: Any, metadata_path: str) -> None:
            written[:] = [metadata_path]
            write(metadata, io, metadata_path)

        def commit_table(catalog: Any, table: Any, *rest: Any, **named: Any) -> Any:
            begin = time.monotonic()
            written.clear()
            made = real(catalog, table, *rest, **named)
            log = made.metadata.metadata_log
            before = log[-1].metadata_file if log else ""
            snapshot = made.metadata.current_snapshot()
            if [made.metadata_location] == written:  # else there was nothing to change
                self.write(
                    "commit",
                    table=".".join(table.name()),
                    before=before,
                    after=made.metadata_location,
                    snapshot=snapshot.snapshot_id if snapshot else None,
                    summary=dict(snapshot.summary.additional_properties) if snapshot else {},
                    begin=begin,
                    end=time.monotonic(),
                )
            return made

        RememberingSqlCatalog.commit_table = commit_table
        RememberingSqlCatalog._write_metadata = staticmethod(write_metadata)

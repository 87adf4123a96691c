"""Remove what a pipeline's storage no longer needs: files that no snapshot refers to, and staging of runs that are over.

``contrail.lake.orphans`` decides which files of a table those are. Which snapshots stay is decided when rows are published.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contrail.files import remove_folder
from contrail.lake import orphans
from contrail.lake.catalog import Tables
from contrail.lake.lake import Lake
from contrail.lake.lease import NAMESPACE


@dataclass(frozen=True)
class Maintained:
    """What was removed of a table, or of ``staging``. ``size`` is in bytes."""

    of: str
    files: int
    size: int


def maintain(lake: Lake, grace: timedelta, *, dry_run: bool = False) -> Iterator[Maintained]:
    """Remove, table by table, what nothing refers to and nobody began to use within the grace period.

    Readers and writers may go on meanwhile, as long as each of their jobs is shorter than ``grace``.

    Args:
        lake: Of the pipeline.
        grace: What is younger stays.
        dry_run: Say what would go, and remove nothing.

    Raises:
        DamagedError: when a table's metadata cannot be read. That table stays as it is.
    """
    leases = Tables(lake.settings, NAMESPACE, lake.namespace)
    own = [(lake.table(name), name) for name in lake.table_names()]
    of_models = [(leases.table(lake.namespace), "lease of models")] if leases.exists(lake.namespace) else []
    for table, name in [*own, *of_models]:
        found = orphans.orphans(table, grace)
        if not dry_run:
            orphans.remove(table, found)
        yield Maintained(name, len(found), sum(one.size for one in found))
    yield _staging(lake, grace, dry_run)


def _staging(lake: Lake, grace: timedelta, dry_run: bool) -> Maintained:
    """Remove the staging folders of runs that wrote nothing within the grace period."""
    before = datetime.now(UTC) - grace
    folder = lake.settings.staging / lake.namespace
    runs: dict[str, list[orphans.Orphan]] = {}
    place = len(folder.fs._strip_protocol(str(folder)).split("/"))
    for one in orphans.files_under(folder.fs, str(folder)) if folder.exists() else ():
        runs.setdefault(one.path.split("/")[place], []).append(one)
    over = {name: inside for name, inside in runs.items() if all(one.modified < before for one in inside)}
    if not dry_run:
        for name in over:
            with suppress(FileNotFoundError):  # its run may end now, and remove it
                remove_folder(folder / name)
    gone = [one for inside in over.values() for one in inside]
    return Maintained("staging", len(gone), sum(one.size for one in gone))

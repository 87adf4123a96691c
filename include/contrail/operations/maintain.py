"""Remove what a pipeline's storage no longer needs: files that no snapshot refers to, what runs left, and what is too old.

``contrail.lake.orphans`` decides which files of a table those are. Which snapshots stay is decided when rows are published,
and what is too old in ``retention``.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from upath import UPath

from contrail import clock
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import Settings
from contrail.config.validation_errors import parse_json
from contrail.errors import CommitConflictError, DamagedError
from contrail.files import is_local, is_unfinished, local_path, remove_folder
from contrail.lake import compaction, orphans, sandboxes
from contrail.lake.catalog import Tables
from contrail.lake.lake import Lake
from contrail.lake.lease import NAMESPACE
from contrail.lake.provenance import Provenance
from contrail.operations.retention import remove_old
from contrail.reports.backfill_record import Record
from contrail.revision import code_revision, lock_hash
from contrail.stages.results import Removed
from contrail.stages.runner import new_run_id


def maintain(lake: Lake, retention: RetentionSpec, grace: timedelta, *, dry_run: bool = False) -> Iterator[Removed]:
    """Remove, place by place, what nothing refers to and nobody began to use within the grace period.

    Readers and writers may go on meanwhile, as long as each of their jobs is shorter than ``grace``.

    Args:
        lake: Of the pipeline.
        retention: How long it keeps what goes by its age.
        grace: What is younger stays.
        dry_run: Say what would go, and remove nothing.

    Raises:
        DamagedError: after the last, when tables are damaged. Those stay as they are.
        EngineError: when the catalog, MLflow or a store does not answer. What went before is gone.
    """
    if retention.differences is not None and not dry_run:
        _let_expire(lake, _ago(lake.settings, max(timedelta(days=retention.differences), grace)))
    # To ask a store for its time is to write there.
    before = clock.ago(lake.settings.home_path, grace) if dry_run else _ago(lake.settings, grace)
    leases = Tables(lake.settings, NAMESPACE, lake.namespace)
    tables: list[tuple[Tables, str, str]] = [(lake, name, name) for name in lake.table_names()]
    if leases.exists(lake.namespace):
        tables.append((leases, lake.namespace, "lease of models"))
    damaged: list[str] = []
    for place, name, of in tables:
        try:
            # Loaded now: an hour ago it may have been another.
            table = place.table(name)
            found = orphans.orphans(table, grace, sandboxes.borrowed(place, table), before)
        except DamagedError as error:
            damaged.append(str(error))
            continue
        if not dry_run:
            orphans.remove(table, found)
        yield Removed(of=of, files=len(found), size=sum(one.size for one in found))
    yield _over("staging", lake.settings.staging / lake.namespace, before, dry_run)
    yield _over("tmp", UPath(lake.settings.home_path / "tmp"), before, dry_run)
    yield _unfinished(lake.settings, before, dry_run)
    yield from remove_old(lake.settings, lake.namespace, retention, grace, dry_run=dry_run)
    if damaged:
        raise DamagedError("\n".join([*damaged, f"{len(tables) - len(damaged)} other tables are done."]))


def _ago(settings: Settings, span: timedelta) -> datetime:
    """The moment before which all is older, by the clocks of this machine and of the store of the tables."""
    return clock.ago(settings.home_path, span, settings.staging, UPath(settings.catalog.warehouse_uri))


def compact(lake: Lake, *, dry_run: bool = False) -> Iterator[Removed]:
    """Rewrite small files into fewer ones, table by table; see ``compaction``. Yield the tables that had any.

    A table that is damaged stays as it is, and so does one whose writers win every commit.
    """
    project = lake.settings.project_path
    made_by = Provenance(new_run_id(), "compaction", "", code_revision(project), lock_hash(project))
    for name in lake.table_names():
        with suppress(DamagedError, CommitConflictError):  # maintain says which are damaged
            found = compaction.compact(lake, name, made_by, dry_run=dry_run)
            if found.files and (dry_run or found.snapshot):
                yield Removed(of=name, files=found.files, size=found.size)


def _let_expire(lake: Lake, before: datetime) -> None:
    """Take the names from the snapshots that old differences compare. Later publications expire them like others."""
    tags: dict[str, set[str]] = {}
    for path in (lake.settings.reports / lake.namespace / "backfills").glob("*.json"):
        record = parse_json(Record, path.read_bytes(), str(path))
        if record.finished_at and datetime.fromisoformat(record.finished_at) < before:
            for table in record.before:
                tags.setdefault(table, set()).update((record.tag, record.tag_after))
    for table, old in tags.items():
        for entry in lake.history(table) if lake.exists(table) else ():
            for tag in old.intersection(entry.tags):
                lake.untag(table, tag)


def _unfinished(settings: Settings, before: datetime, dry_run: bool) -> Removed:
    """Remove what killed runs left under the name of a file that is not whole. Any pipeline's may have left it."""
    files = size = 0
    for path in [each for folder in (settings.home_path, *_own_folders(settings)) for each in _unfinished_in(folder)]:
        with suppress(FileNotFoundError):  # its process may end now, and rename it
            inside = [each.lstat() for each in (path, *path.rglob("*"))]
            if max(each.st_mtime for each in inside) >= before.timestamp():
                continue
            found = [each for each in inside if not stat.S_ISDIR(each.st_mode)]
            files, size = files + len(found), size + sum(each.st_size for each in found)
            if not dry_run:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return Removed(of="unfinished files", files=files, size=size)


def _unfinished_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *names) if is_unfinished(name))
        folders[:] = [name for name in folders if not is_unfinished(name)]


def _own_folders(settings: Settings) -> Iterator[Path]:
    """The folders of this machine that an environment may have put outside the home."""
    for place in (settings.landing, settings.reports, settings.staging):
        if is_local(place) and not local_path(place).is_relative_to(settings.home_path) and place.exists():
            yield local_path(place)


def _over(of: str, folder: UPath, before: datetime, dry_run: bool) -> Removed:
    """Remove what lies in a folder of processes that wrote nothing since a moment. Each has a part of its own."""
    parts: dict[str, list[orphans.Orphan]] = {}
    place = len(folder.fs._strip_protocol(str(folder)).split("/"))
    for one in orphans.files_under(folder.fs, str(folder)) if folder.exists() else ():
        parts.setdefault(one.path.split("/")[place], []).append(one)
    over = {name: inside for name, inside in parts.items() if all(one.modified < before for one in inside)}
    if not dry_run:
        for name in over:
            with suppress(FileNotFoundError):  # its process may end now, and remove it
                remove_folder(folder / name)
    gone = [one for inside in over.values() for one in inside]
    return Removed(of=of, files=len(gone), size=sum(one.size for one in gone))

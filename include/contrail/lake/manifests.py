"""The manifests of a snapshot, read whole or not at all.

PyIceberg reads a file that was cut off as if it ended there. The table would then seem to have fewer files than it has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import ManifestContent, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import DateType

from contrail.config.names import without_sandbox
from contrail.errors import DamagedError, InputsChangedError
from contrail.faults import is_of_a_store
from contrail.lake import snapshots


def manifests(table: Table, snapshot: Snapshot) -> list[ManifestFile]:
    """List the manifests of a snapshot, and compare them with what was counted and measured when they were written.

    Raises:
        DamagedError: when the list or a manifest is damaged, with what to do.
        FileNotFoundError: when one is missing.
    """
    with _whole(table, snapshot.manifest_list):
        found = snapshot.manifests(table.io)
        counted = int(snapshot.summary["total-data-files"] or 0) if snapshot.summary else 0
        if sum(_live(one) for one in found if one.content == ManifestContent.DATA) < counted:
            raise ValueError(f"its manifests have less than {counted} data files")
    for one in found:
        with _whole(table, one.manifest_path):
            size = _local_size(one.manifest_path)
            if size is not None and size != one.manifest_length:
                raise ValueError(f"it has {size} bytes of {one.manifest_length}")
    return found


def gone(table: Table) -> InputsChangedError:
    """The error for a reader whose rows have been replaced, and whose files have been removed since."""
    return InputsChangedError(
        f"{'.'.join(table.name())}: other rows took the place of those that were about to be read, and their files are gone "
        "already. Nothing was published. Run the same command again."
    )


def whole(table: Table, snapshot: Snapshot) -> list[ManifestFile]:
    """As ``manifests``, for a reader: a manifest that is missing is damage too.

    Raises:
        InputsChangedError: when the snapshot went after the table was loaded: persons were forgotten.
        DamagedError: when the list or a manifest is missing or damaged.
    """
    try:
        return manifests(table, snapshot)
    except FileNotFoundError as error:
        if snapshots.find(table.catalog.load_table(table.name()), snapshot.snapshot_id) is None:
            raise gone(table) from error
        raise damaged(table, f"a manifest is missing ({str(error).splitlines()[0]})") from error


def bounds(table: Table, snapshot: Snapshot, column: str) -> list[int]:
    """List the lowest and highest values of a date partition, in days from 1970 on, as the list of manifests has them.

    A manifest may also count files that are no longer there.

    Raises:
        DamagedError: when the list or a manifest is missing or damaged.
    """
    found: list[int] = []
    for one in whole(table, snapshot):
        position = next(i for i, own in enumerate(table.specs()[one.partition_spec_id].fields) if own.name == column)
        summary = (one.partitions or [])[position]
        if _live(one) and summary.lower_bound and summary.upper_bound:
            found += [from_bytes(DateType(), summary.lower_bound), from_bytes(DateType(), summary.upper_bound)]
    return found


def files_of(table: Table, manifest: ManifestFile) -> set[str]:
    """Return the places of the data files in a manifest. Errors are those of ``manifests``."""
    with _whole(table, manifest.manifest_path):
        found = manifest.fetch_manifest_entry(table.io)
        if len(found) < _live(manifest):
            raise ValueError(f"it has {len(found)} files of {_live(manifest)}")
    return {entry.data_file.file_path for entry in found}


def _live(manifest: ManifestFile) -> int:
    return (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)


def _local_size(location: str) -> int | None:
    """Measure a local file. An object store writes a file whole, and to ask it for each would cost a call."""
    return Path(location.removeprefix("file://")).stat().st_size if location.startswith(("file://", "/")) else None


@contextmanager
def _whole(table: Table, location: str) -> Iterator[None]:
    """Refuse what is damaged, whatever PyIceberg makes of it."""
    try:
        yield
    except OSError:
        raise  # it is missing, or the machine's fault
    except Exception as error:
        if is_of_a_store(error):
            raise  # the store did not answer; the file may be whole
        raise damaged(table, f"{location} cannot be read ({error})") from error


def damaged(table: Table, what: str) -> DamagedError:
    """Say what is wrong with a manifest, and what a person can do."""
    namespace, name = without_sandbox(table.name()[0]), table.name()[-1]
    return DamagedError(
        f"{what}, so nobody knows which files it refers to. Nothing was changed. Restore it from a backup, or go back to a "
        f"snapshot of before, and make the days since again:\n  contrail history {name} -p {namespace}\n"
        f"  contrail rollback {name} -p {namespace} --to <snapshot>"
    )

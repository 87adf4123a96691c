"""Whether the data files of a table are as they were written.

The manifest has each file's size, and the file's name has its SHA-256. Every reader of this package asks here before it
reads. A file of an earlier version, without a digest in its name, is compared by its size.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from contrail.config.names import without_sandbox
from contrail.errors import DamagedError
from contrail.files import is_local, local_path
from contrail.lake import archive, data_files, manifests, snapshots
from contrail.lake.datasets import PARTITION
from contrail.lake.history import lineage_of
from contrail.lake.lineage import Lineage
from contrail.lake.selection import Selection
from contrail.partitions import as_ranges

_READERS = 4  # hashing leaves Python's lock to others
_SHOWN = 10
_MISSING = "is missing"
# Which stage makes the rows of a table again. Tables that are not here hold what happened once.
_MADE_BY = {
    "features": "features",
    "predictions": "score",
    "predictions_shadow": "score",
    "quarantine": "validate",
    "drift": "drift",
    "drift_profiles": "drift",
    "performance": "performance",
    "estimates": "performance",
    "segment_quality": "performance",
}


@dataclass(frozen=True)
class Damage:
    """A data file that is not as it was written. ``day`` is its partition, if the table has daily partitions."""

    table: str
    day: date | None
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table} {self.day or 'all rows'}: {self.file} {self.reason}"


def damages(table: Table, files: Iterable[DataFile], *, everywhere: bool = False) -> list[Damage]:
    """Compare data files with their sizes and digests, and list those that differ.

    Args:
        table: The table that they belong to.
        files: From its manifests.
        everywhere: Read files in an object store too. Such a store compares checksums by itself, and to read each
            file twice would cost more than the work.
    """
    name = table.name()[-1]
    position = next((i for i, field in enumerate(table.spec().fields) if field.name == PARTITION), None)
    checked = [file for file in files if everywhere or is_local(file.file_path)]
    with ThreadPoolExecutor(_READERS) as pool:
        reasons = list(pool.map(partial(_reason, table), checked))
    return [
        Damage(name, None if position is None else data_files.day_of(file.partition[position]), file.file_path, reason)
        for file, reason in zip(checked, reasons, strict=True)
        if reason
    ]


def _reason(table: Table, file: DataFile) -> str | None:
    """Say what is wrong with a file; None: nothing."""
    try:
        size, digest = _measured(table, file.file_path)
    except FileNotFoundError:
        return _MISSING
    if size != file.file_size_in_bytes:
        return f"has {size:,} bytes; {file.file_size_in_bytes:,} were written"
    if data_files.digest_of(file.file_path) not in (None, digest):
        return "has other bytes than were written: its SHA-256 is not the one in its name"
    return None


def _measured(table: Table, location: str) -> tuple[int, str]:
    if is_local(location):
        with local_path(location).open("rb") as local:
            return data_files.measured(local)
    with table.io.new_input(location).open() as stream:
        return data_files.measured(stream)


@dataclass(frozen=True)
class Verified:
    """What a check of a whole table found: its files, their bytes, and those that are damaged.

    ``archives`` has the place of the table's earlier snapshots when that file is missing or damaged.
    """

    table: str
    files: int
    bytes: int
    damages: tuple[Damage, ...]
    remedy: str = ""
    archives: tuple[str, ...] = ()


def verify(table: Table) -> Verified:
    """Compare every data file of a table's current snapshot with its size and its digest, and read its archive."""
    files = data_files.listed(table, Selection.of(None))
    found = damages(table, files, everywhere=True)
    size = sum(file.file_size_in_bytes for file in files)
    remedies = [described(table, found)] if found else []
    archives: tuple[str, ...] = ()
    try:
        archive.of(table)
    except DamagedError as error:
        remedies, archives = [*remedies, str(error)], (str(archive.place_in(table.metadata)),)
    return Verified(table.name()[-1], len(files), size, tuple(found), "\n".join(remedies), archives)


def check(table: Table, files: Iterable[DataFile], *, current: bool = True) -> None:
    """Refuse to read damaged files.

    Args:
        table: The table that they belong to.
        files: Those that will be read.
        current: Whether they are of the table's current snapshot, so that a stage can make them again.

    Raises:
        InputsChangedError: The files were removed after the table was loaded, because nothing needs them any more.
        DamagedError: naming table, partition and file, and the command that makes the partition again.
    """
    if found := damages(table, files):
        if _went(table, found):
            raise manifests.gone(table)
        raise DamagedError(described(table, found, current=current))


def _went(table: Table, found: Sequence[Damage]) -> bool:
    """Say whether all that is wrong is that files are missing which no snapshot has any more: persons were forgotten."""
    if any(damage.reason != _MISSING for damage in found):
        return False
    now = table.catalog.load_table(table.name())
    if now.metadata_location == table.metadata_location:
        return False
    needed = {
        file.file_path
        for one in snapshots.in_order(now)
        for file in data_files.listed(now, Selection.of(None), one.snapshot_id)
    }
    return not any(damage.file in needed for damage in found)


def described(table: Table, found: Sequence[Damage], *, current: bool = True) -> str:
    """Tell a table's damages and their remedy."""
    pipeline, name = without_sandbox(table.name()[0]), table.name()[-1]
    lines = [f"  {damage}" for damage in found[:_SHOWN]]
    if len(found) > _SHOWN:
        lines.append(f"  and {len(found) - _SHOWN} more; contrail verify -p {pipeline} lists all")
    head = f"{pipeline}.{name}: {len(found)} of its data files cannot be read as they were written."
    earlier = ["An earlier snapshot refers to them, and no stage makes it again. Restore the files from a backup."]
    return "\n".join([head, *lines, *(_remedy(table, found) if current else earlier)])


def _remedy(table: Table, found: Sequence[Damage]) -> list[str]:
    """The commands that heal a table."""
    pipeline, name = without_sandbox(table.name()[0]), table.name()[-1]
    verb = "ingest" if name.startswith("raw_") else "validate" if name.startswith("validated_") else _MADE_BY.get(name)
    if verb is None:
        return [
            f"No stage makes rows of {name} again. Restore the files from a backup, or give their rows up:",
            f"  contrail verify -p {pipeline} --give-up {name}",
        ]
    lineage = lineage_of(table) if verb == "score" else None
    days: dict[str, list[date]] = {}
    for day in sorted({damage.day or _any_day(table) for damage in found}):
        days.setdefault(_model(lineage, day) if lineage else "", []).append(day)
    commands = [
        f"  contrail {verb} -p {pipeline} --from {part.start} --to {part.end}{model}"
        for model, own in days.items()
        for part in as_ranges(own)
    ]
    return ["Nothing is lost that the lake's other tables have. Make the rows again:", *commands]


def _model(lineage: Lineage, day: date) -> str:
    """The option that chooses the model of predictions that are made again: the one that made them."""
    maker = lineage.maker(day)
    version = maker.provenance.extra.get("model_version", "") if maker else ""
    return f" --model {version}" if version.isdigit() else " --model as-of"


def _any_day(table: Table) -> date:
    """A day that a stage can run for, to make a table without partitions again: the newest of its pipeline's tables."""
    namespace, name = table.name()
    kind = name.partition("_")[0]
    others = [each for each in table.catalog.list_tables(namespace) if each[-1].startswith(f"{kind}_")]
    commits = [commit for each in others for commit in lineage_of(table.catalog.load_table(each)).commits]
    return max((part.end for commit in commits for part in commit.partitions or ()), default=date.today())

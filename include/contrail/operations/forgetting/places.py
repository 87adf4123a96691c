"""The places where rows of persons live: what each has of forgotten ones, and how it loses them.

A new place is one entry of ``PLACES``. Every folder of the home is of a place, or in ``WITHOUT_ROWS`` with the reason.
The order is that of the removal. Texts go first, while the rows that have them are there. Landed files go last, because
all that went before can be made of them again.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from contrail import clock
from contrail.adapters import data_versions
from contrail.adapters.landed_parquet import MARK
from contrail.files import becomes, digest, is_unfinished, remove_folder, write_whole, written_whole
from contrail.lake import erasure, orphans
from contrail.lake.forgotten import FORGOTTEN, MARKS
from contrail.operations.forgetting import texts
from contrail.operations.forgetting.search import Search, landed_files, refused_files

ROWS, FILES, TEXTS = "rows", "files", "texts"


@dataclass(frozen=True)
class Count:
    """How much of a kind was found in a place, and how much of it stays for now because a run may be using it."""

    place: str
    kind: str
    found: int
    partition: str = ""
    left: int = 0

    def inside(self, search: Search) -> "Count":
        """The same, named as of the sandbox that a search is in."""
        return replace(self, place=f"sandbox {search.settings.sandbox}: {self.place}")


# Looks through a place, and removes what it finds if it is told to.
Visit = Callable[[Search, bool], Iterator[Count]]


@dataclass(frozen=True)
class Place:
    """A place where rows live. ``homes`` are the folders and files of the home that it looks after."""

    name: str
    homes: tuple[str, ...]
    visit: Visit


# ---- texts ----


def _texts(search: Search, remove: bool) -> Iterator[Count]:
    """Reports, messages and logs quote values. They are written over in place."""
    if search.pattern is None:
        return
    for name, path in _text_files(search):
        if found := texts.count(path, search.pattern):
            if remove:
                texts.write_over(path, search.pattern)
            yield Count(name, TEXTS, found)


def _text_files(search: Search) -> Iterator[tuple[str, UPath]]:
    home = UPath(search.settings.home_path)
    reports = search.settings.reports / search.pipeline.name
    for folder, base in (
        (reports, search.settings.reports),
        (home / "errors", home),
        (home / "airflow" / "logs", home),
    ):
        if folder.exists():
            for path in sorted(folder.rglob("*"), key=str):
                # Records that Contrail reads again are JSON. They count rows, and quote none.
                if path.is_file() and not path.is_symlink() and path.suffix != ".json":
                    yield str(path).removeprefix(f"{base}/"), path
    if (messages := home / "notifications.jsonl").exists():
        yield messages.name, messages


# ---- Parquet beside the lake ----


def _training_sets(search: Search, remove: bool) -> Iterator[Count]:
    """The rows that models were trained on. A set without its rows makes another model: `reproduce` says so."""
    folder = UPath(search.settings.home_path / "training_sets" / search.pipeline.name)
    for path in sorted(folder.rglob("*.parquet"), key=str) if folder.exists() else ():
        if found := _count_parquet(search, path):
            if remove:
                _rewrite_parquet(search, Path(str(path)))
            yield Count(f"training_sets/{path.parent.name}", ROWS, found)
    yield from _unfinished_sets(search, folder, remove)


def _unfinished_sets(search: Search, folder: UPath, remove: bool) -> Iterator[Count]:
    """Sets that a killed training has begun to write. Without its end nobody can read one, and it may have rows of anybody."""
    found = [path for path in sorted(folder.rglob("*"), key=str) if is_unfinished(path.name)] if folder.exists() else []
    over = [path for path in found if _is_over(search, path)]
    for path in over if remove else ():
        path.unlink(missing_ok=True)
    if found:
        yield Count("unfinished training sets", FILES, len(found), left=len(found) - len(over))


def _count_parquet(search: Search, path: UPath) -> int:
    with path.open("rb") as file:
        opened = pq.ParquetFile(file)
        if search.marks.condition(opened.schema_arrow) is None:
            return 0
        masks = (search.marks.mask(pa.Table.from_batches([batch])) for batch in opened.iter_batches())
        return sum(int(pc.sum(mask).as_py()) for mask in masks if mask is not None)


def _rewrite_parquet(search: Search, path: Path) -> None:
    with (
        becomes(path) as unfinished,
        pq.ParquetFile(path) as opened,
        pq.ParquetWriter(unfinished, opened.schema_arrow, compression="zstd") as writer,
    ):
        for batch in opened.iter_batches():
            writer.write_table(search.marks.without(pa.Table.from_batches([batch])))


def _data_versions(search: Search, remove: bool) -> Iterator[Count]:
    """DVC's cache and remote: an object cannot change, so one with such rows goes."""
    found, known = 0, dict[str, bool]()  # by content: the remote has the same objects as the cache
    for path in data_versions.objects(search.settings):
        if path.suffix == ".dir":
            continue  # DVC's list of a folder
        with path.open("rb") as file:
            content = digest(file)
            if content not in known:
                known[content] = _holds(search, path, file)
        if known[content]:
            found += 1
            if remove:
                path.unlink()
    if found:
        yield Count("data versions", FILES, found)


def _holds(search: Search, path: UPath, file: IO[bytes]) -> bool:
    file.seek(0)
    if file.read(len(MARK)) == MARK and _count_parquet(search, path):
        return True
    for table in search.spec.tables:
        with search.erased(table, file) as erased:
            if erased.count:
                return True
    return False


# ---- what runs have left ----


def _staging(search: Search, remove: bool) -> Iterator[Count]:
    """Staged rows of killed runs. A run that is under way removes its own."""
    folder = search.settings.staging / search.pipeline.name
    for run in sorted(folder.iterdir(), key=str) if folder.exists() else ():
        if rows := sum(_count_parquet(search, path) for path in run.rglob("*.parquet")):
            over = _is_over(search, run)
            if remove and over:
                remove_folder(run)
            yield Count(f"staging/{run.name}", ROWS, rows, left=0 if over else rows)


def _spilled(search: Search, remove: bool) -> Iterator[Count]:
    """What DuckDB has spilled, whosever it is, and a killed run has left."""
    folder = UPath(search.settings.home_path / "tmp")
    left = [one for one in sorted(folder.iterdir(), key=str) if _is_over(search, one)] if folder.exists() else []
    for one in left if remove else ():
        remove_folder(one)
    if left:
        yield Count("tmp", FILES, len(left))


def _is_over(search: Search, path: UPath) -> bool:
    """Say whether nobody has written here within the grace period."""
    before = clock.ago(search.settings.home_path, search.grace)
    return not search.grace or all(one.modified < before for one in orphans.files_under(path.fs, str(path)))


# ---- landed files and the lake ----


def _refused(search: Search, remove: bool) -> Iterator[Count]:
    """Copies of refused files. They keep their names, which refusals have."""
    for table in search.spec.tables:
        for name, path in refused_files(search, table):
            yield from _without_rows(search, table, path, Count(f"refused/{table}", ROWS, 0, name), remove)


def _landing(search: Search, remove: bool) -> Iterator[Count]:
    """Landed files, also those that were never taken in. Checksums that lie beside a file follow."""
    for table in search.spec.tables:
        for name, path in landed_files(search, table):
            yield from _without_rows(search, table, path, Count(f"landing/{table}", ROWS, 0, name), remove)


def _without_rows(search: Search, table: str, path: UPath, count: Count, remove: bool) -> Iterator[Count]:
    with path.open("rb") as stream, search.erased(table, stream) as erased:
        if not erased.count:
            return
        if remove:
            # First: a file beside its old checksum would be refused, and nobody would come back to it.
            _follow(path, stream, erased.content)
            _replace(path, erased.content)
        yield replace(count, found=erased.count)


def _follow(path: UPath, before: IO[bytes], after: IO[bytes]) -> None:
    for method in ("sha256", "md5"):
        beside = path.with_name(f"{path.name}.{method}")
        if beside.exists():
            old, new = (digest(stream, method) for stream in (before, after))
            write_whole(beside, beside.read_text().replace(old, new).encode())


def _replace(path: UPath, content: IO[bytes]) -> None:
    content.seek(0)
    with written_whole(path) as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _tables(search: Search, remove: bool) -> Iterator[Count]:
    """Every table of the lake, with each of its snapshots. What is made of others goes before them."""
    for name in reversed(search.lake.table_names()):
        if name in (FORGOTTEN, MARKS):
            continue
        found = erasure.find(search.lake, name, search.rule)
        left = 0
        if found and remove:
            left = erasure.erase(search.lake, name, search.rule, search.made_by, search.grace)
        for partition, rows in found.rows.items():
            yield Count(name, ROWS, rows, partition)
        if found.earlier:
            yield Count(name, ROWS, found.earlier, "earlier snapshots")
        if found.strays or (found and not found.rows and not found.earlier):
            yield Count(name, FILES, len(found.strays) or 1, "no snapshot's", left)


PLACES: tuple[Place, ...] = (
    Place("texts", ("reports", "notifications.jsonl", "errors", "airflow"), _texts),
    Place("training sets", ("training_sets",), _training_sets),
    Place("data versions", (".dvc", "dvc-remote"), _data_versions),
    Place("staging", ("staging",), _staging),
    Place("spilled rows", ("tmp",), _spilled),
    Place("refused files", ("refused",), _refused),
    Place("tables", ("lake",), _tables),
    Place("landing zone", ("landing",), _landing),
)
# What a sandbox has in common with the main lake.
SHARED = tuple(place for place in PLACES if place.name == "landing zone")
# No row of a person is here. Why not is beside each.
WITHOUT_ROWS: Mapping[str, str] = {
    "locks": "names of locks",
    "lineage": "names of tables, snapshots and hashes; no words of people or errors",
    "models": "copies of models; a personal column is no category of a model",
    "mlflow": "parameters, metrics, plots and models; a personal column is no category of a model",
    ".dvcignore": "patterns of names",
    "sandboxes": "each is a home of its own, in which all of these places are looked through",
}

"""Files on a disk or in an object store: write them whole, remove folders, check names.

What a file holds does not belong here.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias, TypeVar
from uuid import uuid4

from upath import UPath

from contrail.errors import SpecError

# A file system keeps 255 bytes of a name, and names of files are made of this one.
_LONGEST_NAME = 180
_LONGEST_BYTES = 200
_IN_NAMES = "A-Za-z0-9_.-"
# Our own, and what DVC copies a versioned file to before it has its name.
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}|.*\.[\w-]{22}\.tmp", re.ASCII)
_Path = TypeVar("_Path", UPath, Path)
Place: TypeAlias = str | Path | UPath  # what names a file or a folder, on a disk or in an object store
_PARQUET = re.compile(r"(?:file://)?(/[^'\"\n]+?\.parquet)")  # in the words of any library
_NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
_WAITING = 16  # threads: a disk writes what many ask for at once


def is_local(place: Place) -> bool:
    """Say whether a place is on a disk of this machine."""
    text = str(place)
    return text.startswith("file://") or "://" not in text


def local_path(place: Place) -> Path:
    """Return the path of a place on a disk of this machine."""
    return Path(str(place).removeprefix("file://"))


def on_disk(places: Iterable[Place]) -> None:
    """Wait until files, or all files of folders, outlive a power cut, with the two folders above each that name it.

    Before that, a database that waits for the disk may know of a file whose bytes are lost. Nothing is done for places in an
    object store: an object is there when its upload has ended.
    """
    paths = [local_path(place) for place in places if is_local(place)]
    files = {file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])}
    every = files | {folder for file in files for folder in (file.parent, file.parent.parent)}
    with ThreadPoolExecutor(_WAITING) as pool:
        list(pool.map(_flush, every))


def _flush(path: Path) -> None:
    try:
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        # Some file systems flush no folder, and some folders may be passed through and not opened.
        if error.errno not in _NO_FLUSH or not path.is_dir():
            raise


def unfinished_beside(path: _Path) -> _Path:
    """Name a file or folder beside another one, which it becomes when it is whole. No glob of this project matches it."""
    name = path.name.encode()[:_LONGEST_BYTES].decode(errors="ignore")
    return path.with_name(f".{name}.{uuid4().hex}")


def is_unfinished(name: str) -> bool:
    """Say whether ``unfinished_beside`` or DVC made a name. Whoever wrote there is at work, or was killed."""
    return _UNFINISHED.fullmatch(name) is not None


@contextmanager
def becomes(path: Path) -> Iterator[Path]:
    """Name a file that takes the place of another one in one step when the block has ended without an error."""
    unfinished = unfinished_beside(path)
    try:
        yield unfinished
        _flush(unfinished)
        unfinished.rename(path)
        _flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Make such a folder for the length of a block. What is left in it goes."""
    folder = unfinished_beside(path)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(prefix: str, folder: Path | None = None) -> Iterator[Path]:
    """Make a new folder for the length of a block, below ``folder`` or where this machine keeps temporary files.

    Python's own ``TemporaryDirectory`` recurses without end where it may not remove a file.
    """
    place = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_whole(path: UPath, content: bytes) -> None:
    """Write or replace a file in one step, so that a reader sees the old content or the new. Make its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not is_local(path):
        path.write_bytes(content)  # an object appears when it has been uploaded
        return
    with becomes(local_path(path)) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def written_whole(path: UPath) -> Iterator[IO[bytes]]:
    """Write a file of any size as ``write_whole`` does: it appears when the block has ended without an error."""
    if is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with becomes(local_path(path)) as unfinished, unfinished.open("wb") as stream:
            yield stream
        return
    with tempfile.TemporaryFile() as stream:
        yield stream
        stream.seek(0)
        with path.open("wb") as remote:
            shutil.copyfileobj(stream, remote, 1 << 20)


def digest(stream: IO[bytes], method: str = "sha256") -> str:
    """Hash a file from its beginning."""
    found = hashlib.new(method, usedforsecurity=False)
    stream.seek(0)
    while part := stream.read(1 << 20):
        found.update(part)
    return found.hexdigest()


def _is_gone(path: Path) -> bool:
    """Say whether nothing is at a path. A path that nobody may look at is not gone."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def gone_below(folder: Place, text: str) -> str | None:
    """Return the Parquet file below a folder that a library names in its error, if nothing is there; else None."""
    found = _PARQUET.search(text)
    below = f"{local_path(folder)}/"
    return found[1] if found and found[1].startswith(below) and _is_gone(Path(found[1])) else None


def remove_folder(path: UPath) -> None:
    """Remove a folder and its content, if it exists."""
    if path.exists():
        path.fs.rm(str(path), recursive=True)


def checked_name(name: str, option: str) -> str:
    """Check a name that becomes part of paths and of SQL as it is.

    Raises:
        SpecError: naming the option, for a name with other characters.
    """
    if not re.fullmatch(rf"[{_IN_NAMES}]+", name):
        raise SpecError(f"{option} {name}: use letters, digits, '_', '.' and '-'")
    if len(name) > _LONGEST_NAME:
        raise SpecError(f"{option} {name[:20]}…: {len(name)} characters are too many for a name; use {_LONGEST_NAME}")
    return name


def as_name(text: str) -> str:
    """Make a name that ``checked_name`` accepts from an orchestrator's name of a run."""
    return re.sub(rf"[^{_IN_NAMES}]+", "-", text)

"""A table's landing folder: what lies there, and the bytes of its files.

Only regular files inside the pipeline's landing folder are read. A link is followed when it stays inside. Nothing else is
opened, so that no pipe, device or folder can hold a run up, and nothing from outside can get into the lake. Names belong
to ``landed_names``, contents to ``landed_rows``.
"""

import errno
import hashlib
import io
import os
import stat
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import IO

from upath import UPath

from contrail.adapters.landed_names import Names, Stray, read_names, unfinished_of
from contrail.config.file_names import FileNames
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError
from contrail.faults import is_fault
from contrail.files import is_local

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
_MB = 1 << 20
_CHECKSUM_BYTES = 4096
_READ = _MB


@dataclass(frozen=True)
class LandedFile:
    """One landed file that can be read. ``name`` is its name below the table's folder.

    ``content`` has its bytes if they were kept. ``state`` tells the file from another one in its place.
    """

    path: UPath
    name: str
    zone: UPath
    limits: FileLimits
    size: int
    state: str
    digests: Mapping[str, str]
    content: bytes | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes."""
        return self.digests["sha256"]

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file for reading, at any place of it.

        Raises:
            StructureError: it is not the file any longer that it was when it was looked at.
        """
        if self.content is not None:
            yield io.BytesIO(self.content)
            return
        with _opened(self.path, self.zone, self.limits.max_file_mb * _MB, _FILE_LIMIT) as (stream, _, state):
            self._check(state)
            yield stream
            self._check(_state_now(self.path, stream))

    def _check(self, state: str) -> None:
        if state != self.state:
            raise StructureError(
                "unreadable", f"'{self.name}' changed while it was read; land it under a name of its own"
            )


_FILE_LIMIT = "file_limits.max_file_mb"


@dataclass(frozen=True)
class LandingFolder:
    """The landing folder of one table. ``zone`` is the pipeline's; what leads out of it is not read."""

    folder: UPath
    zone: UPath
    names: Names
    layout: FileNames

    @cached_property
    def deliveries(self) -> Mapping[str, tuple[UPath, ...]]:
        """The files to read for each day, or for ``reference``."""
        return {stem: tuple(self.folder / name for name in names) for stem, names in self.names.files.items()}

    @property
    def strays(self) -> Sequence[Stray]:
        """What lies in the folder and is no file of the table."""
        return self.names.strays

    def waits_for(self, stem: str) -> str | None:
        """What a delivery without complete files waits for, if anything of it has come."""
        return self.names.waiting.get(stem) or unfinished_of(stem, self.names, self.layout)

    def look(self, path: UPath, limits: FileLimits, keep: int = 0) -> LandedFile:
        """Read a file once, for its digests.

        Args:
            path: One of the folder's files.
            limits: How large it may be.
            keep: Its bytes are kept if it has no more than these.

        Raises:
            StructureError: not a regular file inside the zone, too large, or unreadable.
        """
        name = str(path)[len(str(self.folder)) :].lstrip("/")
        sidecars = self.names.sidecars.get(name, ())
        hashes = {method: hashlib.new(method, usedforsecurity=False) for method in {"sha256", *map(_method, sidecars)}}
        with _opened(path, self.zone, limits.max_file_mb * _MB, _FILE_LIMIT) as (stream, size, state):
            kept: list[bytes] | None = [] if size <= keep else None
            total = 0
            while part := stream.read(_READ):
                total += len(part)
                if total > limits.max_file_mb * _MB:
                    raise _too_large(path, total, limits.max_file_mb * _MB, _FILE_LIMIT)
                for own in hashes.values():
                    own.update(part)
                if kept is not None:
                    kept.append(part)
        digests = {method: own.hexdigest() for method, own in hashes.items()}
        content = b"".join(kept) if kept is not None else None
        return LandedFile(path, name, self.zone, limits, total, state, digests, content)

    def check_sums(self, file: LandedFile) -> None:
        """Compare a file with the checksums that lie beside it, if any.

        Raises:
            StructureError: another checksum, or one that cannot be read.
        """
        for sidecar in self.names.sidecars.get(file.name, ()):
            _compare(file, sidecar, self._checksum(sidecar))

    def _checksum(self, name: str) -> str:
        with _opened(self.folder / name, self.zone, _CHECKSUM_BYTES, "it is to hold one checksum") as (stream, _, _):
            written = stream.read(_CHECKSUM_BYTES)
        return (written.decode("ascii", "replace").split() or [""])[0].casefold()


def open_folder(zone: UPath, table: str, layout: FileNames, days: Container[str] | None = None) -> LandingFolder:
    """List a table's landing folder. One that does not exist is empty; one that cannot be listed is a stray itself.

    Args:
        zone: The pipeline's landing folder.
        table: The table.
        layout: What its files are called.
        days: Where each day has a folder, only those of these days are looked into. None: all.
    """
    folder = zone / table
    try:
        strays = _other_folders(zone, table)
        below = _names_below(folder, zone, layout, days) if layout.folder else (_names(folder, zone), [])
        names = read_names(below[0], layout)
        names = replace(names, strays=[*names.strays, *below[1], *strays])
    except FileNotFoundError:
        names = Names(strays=_other_folders(zone, table))
    except StructureError as error:
        names = Names(strays=[Stray("", error.rule, error.detail)])
    except OSError as error:
        if not is_local(folder) or is_fault(error):
            raise  # what a service or the machine does is no fault of the folder
        detail = f"'{folder.name}' cannot be listed: {error.strerror}; give this process the right to"
        names = Names(strays=[Stray("", "unreadable", detail)])
    return LandingFolder(folder, zone, names, layout)


def _names_below(
    folder: UPath, zone: UPath, layout: FileNames, days: Container[str] | None
) -> tuple[list[str], list[Stray]]:
    """The names in a folder and in the folders of these days, and the folders that cannot be listed."""
    if days is None and not is_local(folder):  # one listing, not one for each day
        root = f"{str(folder).partition('://')[2].strip('/')}/"
        return [name.strip("/").removeprefix(root) for name in folder.fs.find(str(folder), maxdepth=2)], []
    found: list[str] = []
    strays: list[Stray] = []
    for name in _names(folder, zone):
        own = layout.read_folder(name)
        if own is None:
            found.append(name)
        elif days is None or own.stem in days:
            try:
                found += [f"{name}/{each}" for each in _names(folder / name, zone)]
            except StructureError as error:
                day = date.fromisoformat(own.stem) if layout.daily else None
                strays.append(Stray(name, error.rule, error.detail, day))
    return found, strays


def _other_folders(zone: UPath, table: str) -> list[Stray]:
    """Folders whose name would be the table's, but for capitals or spaces."""
    with suppress(FileNotFoundError):
        names = [name for name in _names(zone, zone) if name != table and name.strip().casefold() == table]
        if names:
            listed = ", ".join(f"'{name}'" for name in sorted(names))
            return [Stray("", "misnamed_folder", f"{listed} beside this folder is not read; rename it to {table}")]
    return []


def _names(folder: UPath, zone: UPath) -> list[str]:
    if not is_local(folder):
        listed = (entry["name"] for entry in folder.fs.ls(str(folder), detail=True))
        return [name.rstrip("/").rpartition("/")[2] for name in listed if not _same(name, str(folder))]
    real = _inside(str(folder), zone, f"the folder '{folder.name}'")
    if not Path(real).is_dir():
        raise StructureError("not_a_folder", f"'{folder.name}' is {_kind(os.lstat(real).st_mode)}; make it a folder")
    return [_printable(path.name) for path in Path(real).iterdir()]


def _printable(name: str) -> str:
    """A name that a table and a message can hold. No right name needs the change."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _same(name: str, folder: str) -> bool:
    """Whether an object store lists the folder itself."""
    return name.strip("/") == folder.partition("://")[2].strip("/")


def _inside(path: str, zone: UPath, what: str) -> str:
    """The path that links lead to, inside the zone."""
    os.lstat(path)  # what does not exist at all is missing, not a broken link
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        why = "leads to itself" if error.errno == errno.ELOOP else "leads to nothing"
        raise StructureError("not_a_file", f"{what} is a link that {why}; land the file itself") from error
    root = os.path.realpath(str(zone))
    if os.path.commonpath([root, real]) != root:
        raise StructureError(
            "not_a_file",
            f"{what} is a link that leads out of the landing zone; it was not opened; land the file itself",
        )
    return real


def first_irregular(zone: UPath) -> str | None:
    """Name something on a disk, below a pipeline's landing folder, that is no regular file inside it; None if all is.

    Raises:
        OSError: The machine failed, or something cannot be read. That says nothing of what lies there.
    """
    for place, folders, names in os.walk(str(zone), onerror=_stop):
        for path in (Path(place, name) for name in [*names, *folders]):
            try:
                mode = os.lstat(_inside(str(path), zone, path.name)).st_mode
            except FileNotFoundError:
                continue  # it has gone since the folder was listed
            except StructureError:
                return str(path)
            if not (stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not path.is_symlink())):
                return str(path)
    return None


def _stop(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a folder that has gone since it was listed
        raise error


@contextmanager
def _opened(path: UPath, zone: UPath, most: int, limit: str) -> Iterator[tuple[IO[bytes], int, str]]:
    """Open a regular file inside the zone; with its size, and what tells it from another one in its place."""
    with _unreadable(path):
        opened, size, state = (_open_local if is_local(path) else _open_remote)(path, zone, most, limit)
    with opened:
        yield opened, size, state


def _open_remote(path: UPath, _: UPath, most: int, limit: str) -> tuple[IO[bytes], int, str]:
    state = str(path.fs.ukey(str(path)))
    if (size := int(path.stat().st_size)) > most:
        raise _too_large(path, size, most, limit)
    return path.open("rb"), size, state


def _open_local(path: UPath, zone: UPath, most: int, limit: str) -> tuple[IO[bytes], int, str]:
    real = _inside(str(path), zone, f"'{path.name}'")
    _check_regular(path, os.lstat(real), most, limit)
    # A pipe that comes between the look and the opening neither blocks nor passes.
    opened = os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    status = os.fstat(opened.fileno())
    try:
        _check_regular(path, status, most, limit)
    except StructureError:
        opened.close()
        raise
    return opened, status.st_size, _state(status)


def _state(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _state_now(path: UPath, stream: IO[bytes]) -> str:
    return _state(os.fstat(stream.fileno())) if is_local(path) else str(path.fs.ukey(str(path)))


@contextmanager
def _unreadable(path: UPath) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StructureError("unreadable", f"'{path.name}' went away while it was read; land it again") from error
    except PermissionError as error:
        raise StructureError("unreadable", f"this process may not read '{path.name}'; give it the right to") from error


def _check_regular(path: UPath, status: os.stat_result, most: int, limit: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StructureError("not_a_file", f"'{path.name}' is {_kind(status.st_mode)}; it was not opened; land a file")
    if status.st_size > most:
        raise _too_large(path, status.st_size, most, limit)


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")


def _too_large(path: UPath, size: int, most: int, limit: str) -> StructureError:
    return StructureError("too_large", f"'{path.name}' has {size:,} bytes, more than {most:,} ({limit}); split it")


def _method(sidecar: str) -> str:
    return sidecar.rpartition(".")[2]


def _compare(file: LandedFile, sidecar: str, wanted: str) -> None:
    if wanted != (found := file.digests[_method(sidecar)]):
        raise StructureError(
            "other_checksum",
            f"'{sidecar}' says {wanted[:64]!r}, but the file has {found}; land the file whole, or both again",
        )

"""A table's landing folder: what lies there, and the bytes of one file.

Only regular files inside the pipeline's landing folder are read. A link is followed when it stays inside. Nothing else is
opened, so that no pipe, device or folder can hold a run up, and nothing from outside can get into the lake. Names belong
to ``landed_names``, contents to ``landed_csv``.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from upath import UPath

from contrail.adapters.landed_names import Names, Stray, read_names
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError

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


@dataclass(frozen=True)
class LandingFolder:
    """The landing folder of one table. ``zone`` is the pipeline's; what leads out of it is not read."""

    folder: UPath
    zone: UPath
    names: Names

    @cached_property
    def files(self) -> Mapping[str, UPath]:
        """The file to read for each day, or for ``reference``."""
        return {stem: self.folder / name for stem, name in self.names.files.items()}

    @property
    def strays(self) -> Sequence[Stray]:
        """What lies in the folder and is no file of the table."""
        return self.names.strays

    def read(self, path: UPath, limits: FileLimits) -> bytes:
        """Return the bytes of a file.

        Raises:
            StructureError: not a regular file inside the zone, too large, or unreadable.
        """
        return _read(path, self.zone, limits.max_file_mb * _MB, "file_limits.max_file_mb")

    def check_sums(self, path: UPath, content: bytes) -> None:
        """Compare the bytes of a file with the checksums that lie beside it, if any.

        Raises:
            StructureError: another checksum, or one that cannot be read.
        """
        for name in self.names.sidecars.get(path.name, ()):
            _compare(content, name, _read(self.folder / name, self.zone, _CHECKSUM_BYTES, "it is to hold one checksum"))


def open_folder(zone: UPath, table: str, daily: bool) -> LandingFolder:
    """List a table's landing folder. One that does not exist is empty; one that cannot be listed is a stray itself."""
    folder = zone / table
    try:
        strays = _other_folders(zone, table)
        names = read_names(_names(folder, zone), daily)
        names = replace(names, strays=[*names.strays, *strays])
    except FileNotFoundError:
        names = Names(strays=_other_folders(zone, table))
    except StructureError as error:
        names = Names(strays=[Stray("", error.rule, error.detail)])
    except OSError as error:
        if not _is_local(folder):
            raise  # a service that does not answer is no fault of the folder
        detail = f"'{folder.name}' cannot be listed: {error.strerror}; give this process the right to"
        names = Names(strays=[Stray("", "unreadable", detail)])
    return LandingFolder(folder, zone, names)


def _other_folders(zone: UPath, table: str) -> list[Stray]:
    """Folders whose name would be the table's, but for capitals or spaces."""
    with suppress(FileNotFoundError):
        names = [name for name in _names(zone, zone) if name != table and name.strip().casefold() == table]
        if names:
            listed = ", ".join(f"'{name}'" for name in sorted(names))
            return [Stray("", "misnamed_folder", f"{listed} beside this folder is not read; rename it to {table}")]
    return []


def _names(folder: UPath, zone: UPath) -> list[str]:
    if not _is_local(folder):
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


def _is_local(path: UPath) -> bool:
    return path.protocol in ("", "file")


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
    """Name something on a disk, below a pipeline's landing folder, that is no regular file inside it; None if all is."""
    for place, folders, names in os.walk(str(zone)):
        for path in (Path(place, name) for name in [*names, *folders]):
            try:
                mode = os.lstat(_inside(str(path), zone, path.name)).st_mode
            except (StructureError, OSError):
                return str(path)
            if not (stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not path.is_symlink())):
                return str(path)
    return None


def _read(path: UPath, zone: UPath, most: int, limit: str) -> bytes:
    with _unreadable(path):
        if not _is_local(path):
            if (size := int(path.stat().st_size)) > most:
                raise _too_large(path, size, most, limit)
            return path.read_bytes()
        real = _inside(str(path), zone, f"'{path.name}'")
        _check_regular(path, os.lstat(real), most, limit)
        # A pipe that comes between the look and the opening neither blocks nor passes.
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as opened:
            _check_regular(path, os.fstat(opened.fileno()), most, limit)
            content = opened.read(most + 1)
    if len(content) > most:
        raise _too_large(path, len(content), most, limit)
    return content


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


def _compare(content: bytes, name: str, written: bytes) -> None:
    method = name.rpartition(".")[2]
    wanted = (written.decode("ascii", "replace").split() or [""])[0].casefold()
    found = hashlib.new(method, content, usedforsecurity=False).hexdigest()
    if wanted != found:
        raise StructureError(
            "other_checksum",
            f"'{name}' says {wanted[:64]!r}, but the file has {found}; land the file whole, or both again",
        )

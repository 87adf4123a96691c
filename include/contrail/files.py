"""Files on a disk or in an object store: write them whole, remove folders, check names.

What a file holds does not belong here.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from uuid import uuid4

from upath import UPath

from contrail.errors import SpecError

# A file system keeps 255 bytes of a name, and names of files are made of this one.
_LONGEST_NAME = 180
_IN_NAMES = "A-Za-z0-9_.-"


def write_whole(path: UPath, content: bytes) -> None:
    """Write or replace a file in one step, so that a reader sees the old content or the new. Make its folder first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.protocol not in ("", "file"):
        path.write_bytes(content)  # an object appears when it has been uploaded
        return
    # No glob of this project matches such a name.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    unfinished.write_bytes(content)
    unfinished.rename(path)


@contextmanager
def written_whole(path: UPath) -> Iterator[IO[bytes]]:
    """Write a file of any size as ``write_whole`` does: it appears when the block has ended without an error."""
    local = path.protocol in ("", "file")
    if local:
        path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name[:40]}.", dir=str(path.parent) if local else None) as folder:
        unfinished = Path(folder, "unfinished")
        with unfinished.open("wb") as stream:
            yield stream
        if local:
            unfinished.replace(str(path))
        else:
            with unfinished.open("rb") as stream, path.open("wb") as remote:
                shutil.copyfileobj(stream, remote, 1 << 20)


def digest(stream: IO[bytes], method: str = "sha256") -> str:
    """Hash a file from its beginning."""
    found = hashlib.new(method, usedforsecurity=False)
    stream.seek(0)
    while part := stream.read(1 << 20):
        found.update(part)
    return found.hexdigest()


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

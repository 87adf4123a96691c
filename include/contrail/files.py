"""Files that are seen whole or not at all, folders that go away, and what they may be named after.

On a disk and in an object store.
"""

import re
from uuid import uuid4

from upath import UPath

from contrail.errors import SpecError

_IN_NAMES = "A-Za-z0-9_.-"


def write_whole(path: UPath, content: bytes) -> None:
    """Write a file, or replace it, in one step for whoever reads it; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.protocol not in ("", "file"):
        path.write_bytes(content)  # an object appears when it has been uploaded
        return
    # A name that no pattern of ours lists.
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    unfinished.write_bytes(content)
    unfinished.rename(path)


def remove_folder(path: UPath) -> None:
    """Remove a folder with all that is in it; nothing when there is none."""
    if path.exists():
        path.fs.rm(str(path), recursive=True)


def checked_name(name: str, option: str) -> str:
    """A name that somebody gave and that becomes part of paths and of SQL, as it is.

    Raises:
        SpecError: naming the option, for a name with other characters.
    """
    if not re.fullmatch(rf"[{_IN_NAMES}]+", name):
        raise SpecError(f"{option} {name}: use letters, digits, '_', '.' and '-'")
    return name


def as_name(text: str) -> str:
    """A name that ``checked_name`` accepts, made from what an orchestrator calls its run."""
    return re.sub(rf"[^{_IN_NAMES}]+", "-", text)

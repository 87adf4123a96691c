"""Files that are seen whole or not at all, and folders that go away, on a disk and in an object store."""

from uuid import uuid4

from upath import UPath


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

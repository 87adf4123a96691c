"""Git worktrees: a kept revision of the code in a folder of its own. Nothing here touches the user's working tree."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contrail.errors import EngineError
from contrail.git import git

# A worktree's folder, in a scratch folder whose name no person gives.
_OURS = re.compile(r"/reproduce-[0-9a-f]{32}/code$")


def has_revision(project: Path, revision: str) -> bool:
    """Say whether the repository has a commit. A shallow clone has only the newest."""
    return bool(re.fullmatch(r"[0-9a-f]{7,64}", revision)) and (
        git(project, "cat-file", "-e", f"{revision}^{{commit}}").returncode == 0
    )


@contextmanager
def checked_out(project: Path, revision: str, scratch: Path) -> Iterator[Path]:
    """Check a revision out below a scratch folder for the length of a block, and yield where the project lies in it.

    Raises:
        EngineError: when git cannot, with its words.
    """
    folder = scratch / "code"
    made = git(project, "worktree", "add", "--detach", "--force", str(folder), revision)
    try:
        if made.returncode:
            raise EngineError(
                f"git could not check {revision} out to {folder}: {made.stderr.strip()}. Your working tree is as it was."
            )
        yield folder / git(project, "rev-parse", "--show-prefix").stdout.strip()
    finally:
        _remove(project, folder)


def remove_left(project: Path, scratch: Path) -> None:
    """Remove the worktrees that killed runs left below a folder of scratch folders, or whose folders are gone."""
    listed = git(project, "worktree", "list", "--porcelain").stdout.splitlines()
    for line in listed:
        folder = Path(line.removeprefix("worktree "))
        if _OURS.search(line) and (folder.is_relative_to(scratch.resolve()) or not folder.exists()):
            _remove(project, folder)


def _remove(project: Path, folder: Path) -> None:
    git(project, "worktree", "remove", "--force", "--force", str(folder))

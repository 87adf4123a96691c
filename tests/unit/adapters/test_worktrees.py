"""Worktrees of a kept revision, in a real repository."""

import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from contrail.adapters.worktrees import checked_out, has_revision, remove_left
from contrail.errors import EngineError


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, str]:
    """A project in a folder of its repository, with an old commit, and edits that nobody committed."""
    repository = tmp_path / "repository"
    folder = repository / "part"
    folder.mkdir(parents=True)
    git(repository, "init", "--quiet")
    (folder / "code.py").write_text("old\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "old")
    old = git(repository, "rev-parse", "HEAD")
    (folder / "code.py").write_text("new\n")
    git(repository, "commit", "-qam", "new")
    (folder / "code.py").write_text("edited\n")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)
    return folder, old


def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp" / f"reproduce-{uuid4().hex}"
    folder.mkdir(parents=True)
    return folder


def test_an_old_revision_lies_beside_the_edited_tree_and_goes(project: tuple[Path, str], tmp_path: Path) -> None:
    folder, old = project
    before = git(folder, "status", "--porcelain"), git(folder, "worktree", "list")
    with checked_out(folder, old, scratch(tmp_path)) as there:
        assert (there / "code.py").read_text() == "old\n"
        assert not (there.parent / "hooked").exists()
        assert (folder / "code.py").read_text() == "edited\n"
    assert not there.exists()
    assert (git(folder, "status", "--porcelain"), git(folder, "worktree", "list")) == before


@pytest.mark.parametrize("gone", [False, True], ids=["with its folder", "without"])
def test_what_a_killed_run_left_goes_and_a_persons_worktree_stays(
    project: tuple[Path, str], tmp_path: Path, gone: bool
) -> None:
    folder, old = project
    git(folder, "worktree", "add", "--detach", str(tmp_path / "code"), old)
    left = scratch(tmp_path) / "code"
    git(folder, "worktree", "add", "--detach", str(left), old)
    if gone:
        subprocess.run(["rm", "-r", str(left)], check=True)
    remove_left(folder, tmp_path / "tmp")
    assert not left.exists()
    assert [line.split()[0] for line in git(folder, "worktree", "list").splitlines()] == [
        str(folder.parent), str(tmp_path / "code"),
    ]  # fmt: skip


def test_a_live_run_of_another_home_keeps_its_worktree(project: tuple[Path, str], tmp_path: Path) -> None:
    folder, old = project
    with checked_out(folder, old, scratch(tmp_path)) as there:
        remove_left(folder, tmp_path / "another")
        assert (there / "code.py").exists()


def test_a_revision_that_git_lacks_is_known_and_cannot_be_checked_out(
    project: tuple[Path, str], tmp_path: Path
) -> None:
    folder, old = project
    assert has_revision(folder, old)
    assert not any(has_revision(folder, one) for one in ("0" * 40, "unknown", "", "HEAD"))
    assert not has_revision(tmp_path, old), "no repository"
    with pytest.raises(EngineError, match="git could not check 0000"), checked_out(folder, "0" * 40, scratch(tmp_path)):
        pass

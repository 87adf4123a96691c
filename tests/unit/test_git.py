"""Git is asked the same way by all who ask it: in another user's repository, from a hook, and where there is none."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contrail import git, revision
from contrail.adapters import lock_file, worktrees
from contrail.operations.score_card.repository import Repository


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_bytes(b"a==1\r\n")
    for line in ("init -q", "add -A", "-c user.name=a -c user.email=a@b.c commit -qm a"):
        subprocess.run(["git", "-C", str(folder), *line.split()], check=True)
    revision.code_revision.cache_clear()
    yield folder
    revision.code_revision.cache_clear()


def test_another_users_repository_answers(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # of git itself, for its own tests
    refused = subprocess.run(["git", "-C", str(project), "log"], capture_output=True, text=True, check=False)
    assert "dubious ownership" in refused.stderr
    commit = revision.code_revision(project)
    assert len(commit) == 40
    assert revision.uncommitted(project) == []
    assert worktrees.has_revision(project, commit)
    assert Repository(project).is_committed(project)
    digest = revision.lock_hash(project)
    (project / "requirements.txt").unlink()
    assert lock_file.lock_text(project, digest, commit) == "a==1\r\n"


def test_without_git_nothing_is_known(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.git(project, "log").returncode == 127
    assert revision.code_revision(project) == "unknown"
    assert revision.uncommitted(project) == [str(project)]
    assert not worktrees.has_revision(project, "a" * 40)
    assert not Repository(project).is_committed(project)
    assert lock_file.lock_text(project, "0" * 64, "a" * 40) is None


def test_a_hook_of_another_repository_leads_nobody_away(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    assert revision.uncommitted(project) == []


def test_nothing_of_the_repository_runs(project: Path) -> None:
    watcher, ran = project.parent / "watcher", project.parent / "ran"
    watcher.write_text(f"#!/bin/sh\ntouch {ran}\n")
    watcher.chmod(0o755)
    subprocess.run(["git", "-C", str(project), "config", "core.fsmonitor", str(watcher)], check=True)
    assert revision.uncommitted(project) == []
    assert not ran.exists()


def test_asking_takes_no_lock_that_a_killed_command_would_leave(project: Path) -> None:
    """Git writes the times of files that it has looked at into its index, unless it is told not to."""
    index, file = project / ".git" / "index", project / "requirements.txt"
    os.utime(file, (1_000_000_000, 1_000_000_000))
    before = index.read_bytes()
    assert git.git(project, "status", "--porcelain").returncode == 0
    assert index.read_bytes() == before
    subprocess.run(["git", "-C", str(project), "status"], check=True, capture_output=True)
    assert index.read_bytes() != before, "git itself would have written"

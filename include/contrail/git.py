"""Ask git: the one place that starts it.

What its answers mean does not belong here.
"""

import os
import subprocess
from pathlib import Path

# In a container the project may belong to another user than the process. No hook or watcher of it runs here.
_OURS = ("-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
# Git gives them to its hooks. They would lead to another repository than the project's.
_OF_HOOKS = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"})
# `git status` writes what it has seen into the index, under a lock. A command that is killed then would leave the lock, and
# no commit of the person could be made.
_READS_ONLY = {"GIT_OPTIONAL_LOCKS": "0"}
_NO_COMMAND = 127  # as a shell says it


def git(folder: Path, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Run git in a folder, and return what it said. Its error is in ``stderr``, with a ``returncode`` that is not 0.

    A machine without git answers as a command that failed. Characters that are not UTF-8 are replaced.

    Args:
        folder: In the repository.
        arguments: Git's command and its arguments.
        given: What git reads from its input.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS} | _READS_ONLY
    command = ["git", *_OURS, "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, input=given.encode(), capture_output=True, check=False, env=environment)
    except OSError as error:
        return subprocess.CompletedProcess(command, _NO_COMMAND, "", f"git cannot run on this machine: {error}")
    # Not as a text of subprocess, which would change the ends of lines: hashes are made of files that git shows.
    out, err = (one.decode(errors="replace") for one in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, out, err)


def said(folder: Path, *arguments: str) -> str:
    """What git says, without the spaces around it; empty where it fails."""
    done = git(folder, *arguments)
    return done.stdout.strip() if done.returncode == 0 else ""

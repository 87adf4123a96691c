"""Commands as a shell runs them, in the process of a test."""

import shlex
import sys

import pytest

from contrail.cli.app import main


def contrail(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    """Run a command as a shell does, and return its exit status."""
    monkeypatch.setattr("sys.argv", shlex.split(line))
    return _exit_of_main()


def exit_of(line: str) -> int:
    """The same, in a process that does nothing else."""
    return exit_of_arguments(shlex.split(line))


def exit_of_arguments(arguments: list[str]) -> int:
    """The same, of a line that is in parts already."""
    sys.argv = arguments
    return _exit_of_main()


def _exit_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0

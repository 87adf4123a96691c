"""The outcome of a remote job, from its folder: its result, its exit status, and the end of its log."""

import json
from dataclasses import dataclass

from upath import UPath


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``code`` is the command's exit status; ``said`` has its last lines.

    ``result`` is the JSON that the command printed with ``--json``, or ``null``. The stage knows its meaning.
    """

    code: int
    result: str
    said: tuple[str, ...]


def read_outcome(folder: str) -> Outcome | None:
    """Read the outcome of the job in this folder. None: the job still runs, or ended before it could write one."""
    path = UPath(folder) / "result.json"
    if not path.exists():
        return None
    left = json.loads(path.read_text())
    return Outcome(left["code"], json.dumps(left["result"]), tuple(left["said"]))


def read_tail(folder: str, lines: int) -> list[str]:
    """Read the last lines of the log that the job in this folder left. A job that never began left none."""
    path = UPath(folder) / "log.txt"
    return path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []

"""The outcome of a remote job, from its folder: its result, its exit status, and the end of its log."""

import json
from dataclasses import dataclass

from upath import UPath

from contrail.files import write_whole

_WAIT = "waited_too_long.json"


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``code`` is the command's exit status; ``said`` has its last lines.

    ``result`` is the JSON that the command printed with ``--json``, or ``null``. The stage knows its meaning.
    """

    code: int
    result: str
    said: tuple[str, ...]


def read_outcome(folder: str) -> Outcome | None:
    """Read the outcome of the job in this folder. None: the job still runs, or ended before it could write one whole."""
    path = UPath(folder) / "result.json"
    if not path.exists():
        return None
    try:
        left = json.loads(path.read_text())
    except json.JSONDecodeError:
        return None
    return Outcome(left["code"], json.dumps(left["result"]), tuple(left["said"]))


def record_wait(folder: str, minutes: float) -> None:
    """Write down that the job in this folder is being cancelled, because it waited too long for a machine.

    This comes before the cancelling. So whoever later finds the job cancelled knows who did it, whatever was lost between.
    """
    write_whole(UPath(folder) / _WAIT, json.dumps({"minutes": round(minutes, 1)}).encode())


def read_wait(folder: str) -> float | None:
    """Read how many minutes the job in this folder waited, if Contrail cancelled it for that. None: it did not."""
    path = UPath(folder) / _WAIT
    return float(json.loads(path.read_text())["minutes"]) if path.exists() else None


def read_tail(folder: str, lines: int) -> list[str]:
    """Read the last lines of the log that the job in this folder left. A job that never began left none."""
    path = UPath(folder) / "log.txt"
    return path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []

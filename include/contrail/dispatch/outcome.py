"""What a remote job left in its folder: its result, how it ended, and the end of its log."""

import json
from dataclasses import dataclass

from upath import UPath


@dataclass(frozen=True)
class Outcome:
    """``code`` is the command's exit status; ``said`` its last lines.

    ``result`` is the JSON that it printed with ``--json``, ``null`` for none: what it means, its stage knows.
    """

    code: int
    result: str
    said: tuple[str, ...]


def read_outcome(folder: str) -> Outcome | None:
    """What the job in this folder left; None when it was ended before it could, or has not ended."""
    path = UPath(folder) / "result.json"
    if not path.exists():
        return None
    left = json.loads(path.read_text())
    return Outcome(left["code"], json.dumps(left["result"]), tuple(left["said"]))


def read_tail(log_uri: str, lines: int) -> list[str]:
    """The last lines of a driver's log, whose parts are ``<log_uri>.000000000`` and so on; none where there is no log."""
    if not log_uri:
        return []
    prefix = UPath(log_uri)
    parts = sorted(str(part) for part in prefix.parent.glob(f"{prefix.name}*"))
    return UPath(parts[-1]).read_text(errors="replace").splitlines()[-lines:] if parts else []

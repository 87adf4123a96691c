"""An error that Contrail does not expect: a short message for a person, and the whole trace in a file.

Errors that Contrail raises on purpose do not come here.
"""

import shlex
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from contrail.adapters.machine_errors import KEPT
from contrail.config.settings import Settings, settings
from contrail.errors import ContrailError
from contrail.revision import code_revision

_LONGEST = 500


def tell(error: BaseException) -> str:
    """Keep the trace of an error, and say in a few lines what happened, where, and where the trace is.

    What a command had published before stays: chunks of a backfill, a table that was rolled back.
    """
    current = _settings()
    said = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"
    where, advice = _place(error, current)
    reference = uuid4().hex[:8]
    kept = _keep(error, reference, current)
    return f"{said}\n  {where}\n  {KEPT} {advice}\n  Reference {reference}: {kept}"


def _settings() -> Settings | None:
    try:
        return settings()
    except ContrailError:  # the error is perhaps just that
        return None


def _place(error: BaseException, current: Settings | None) -> tuple[str, str]:
    """Find the line that failed: the pipeline's own code, if it was there, else the deepest line."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = str(current.pipelines_path) if current else "\0"
    if own := [frame for frame in frames if frame.filename.startswith(folder)]:
        return _line(own[-1], current), "Mend the line, and run the command again."
    if not frames:
        return "where it failed is not known", "Please report it."
    return _line(frames[-1], current), "Contrail did not expect this: please report it with the file below."


def _line(frame: traceback.FrameSummary, current: Settings | None) -> str:
    path = Path(frame.filename)
    if current and path.is_relative_to(current.project_path):
        path = path.relative_to(current.project_path)
    return f"in {path}, line {frame.lineno}: {frame.line or '(no source)'}"


def _keep(error: BaseException, reference: str, current: Settings | None) -> str:
    trace = "".join(traceback.format_exception(error))
    if current is None:
        return f"the trace could not be kept in a file, so it is here:\n{trace}"
    now = datetime.now(UTC)
    path = current.home_path / "errors" / f"{now:%Y-%m-%d}-{reference}.txt"
    revision = code_revision(current.project_path)
    about = f"{now:%Y-%m-%d %H:%M:%S} UTC, code {revision}, Python {sys.version.split()[0]}\n{shlex.join(sys.argv)}\n\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(about + trace, encoding="utf-8", errors="backslashreplace")
    except OSError as problem:
        return f"the trace could not be kept in {path} ({problem}), so it is here:\n{trace}"
    return f"the whole trace is in {path}"

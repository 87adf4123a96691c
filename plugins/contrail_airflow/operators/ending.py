"""How a stage ended: with its result, or with an error that says whether a retry can help."""

import json
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from contrail.errors import CommitConflictError, ContrailError, GateRefusedError, SpecError
from contrail.notify.messages import Message

RETRYABLE = CommitConflictError.exit_code
SHOWN_LINES = 12
_DECIDES = "promote"  # the one stage that may refuse what it was asked for
_ERROR_MARK = "✗"  # Contrail's own error begins with it; progress comes before the error


# Whoever ends a process because no memory is left sends the first. A library that gets none ends by the others.
_NO_MEMORY = (
    "Often no memory was left: see the kernel's log (dmesg), give the process more, set CONTRAIL_MEMORY_LIMIT lower, or "
    "choose a shorter range of days. Its last lines:"
)
_REMEDIES = dict.fromkeys((signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS), _NO_MEMORY)


class StageStopped(SystemExit):
    """A stage ended with an error. ``code`` is its exit status, ``said`` the last lines that it printed.

    It is no ``Exception``, because Airflow would log its own frames below the lines that say what is wrong.
    ``message`` is what people are told, and ``again`` how they start the stage again.
    """

    refused = False
    code: int

    def __init__(self, verb: str, code: int, said: str, again: str = "") -> None:
        super().__init__(code)
        self.verb = verb
        self.said = said
        self.again = again
        self.message: Message | None = None

    @property
    def is_decision(self) -> bool:
        """Whether the stage did its work, and decided against what it was asked for."""
        return self.verb == _DECIDES and self.code == GateRefusedError.exit_code

    def __str__(self) -> str:
        return f"{self.verb} stopped with code {self.code}: {self.said}"


class StageRefused(StageStopped):
    """A stage that would fail again in the same way. The task's retry policy does not retry it."""

    refused = True


def refuse(verb: str, said: str, log: logging.Logger, again: str = "") -> NoReturn:
    """Fail a task before its stage begins, because the run was given something wrong, and log what.

    Raises:
        StageRefused: always.
    """
    log.error("%s", said)
    raise StageRefused(verb, SpecError.exit_code, said, again)


@contextmanager
def refusing(verb: str, again: str = "") -> Iterator[None]:
    """Fail a task as ``refuse`` does, because the days that its run was given cannot be.

    Without it a template would raise a traceback, and Airflow would try it again.

    Raises:
        StageRefused: in place of a SpecError.
    """
    try:
        yield
    except SpecError as error:
        refuse(verb, f"✗ {error}", logging.getLogger("airflow.task"), again)


def printed_result(verb: str, printed: str) -> dict[str, Any]:
    """The result in the last line that a stage printed.

    Raises:
        StageRefused: when that line is not a JSON object. A retry would not help.
    """
    last = (printed.strip().splitlines() or [""])[-1]
    try:
        result = json.loads(last)
    except json.JSONDecodeError:
        result = None
    if not isinstance(result, dict):
        said = f"{verb} ended well but its last line is not a JSON object: {last[:200]!r}"
        raise StageRefused(verb, ContrailError.exit_code, said)
    return result


def fail(verb: str, code: int, lines: Sequence[str], link: str = "") -> NoReturn:
    """Fail the task of a stage whose exit status was not 0. ``lines`` are the last lines that it printed.

    Raises:
        StageStopped: for a status that a retry may change.
        StageRefused: for every other status.
    """
    marked = [i for i, line in enumerate(lines) if line.startswith(_ERROR_MARK)]
    # Libraries may print more after the error, when the process ends.
    shown = lines[marked[-1] :][:SHOWN_LINES] if marked else lines[-SHOWN_LINES:]
    ended = _ended_by(code) if not marked else None
    said = "\n".join([*([ended] if ended else []), *shown, *([link] if link else [])])
    _raise(verb, code, said, again=code == RETRYABLE or code < 0 or code > 128)


def _ended_by(code: int) -> str | None:
    """Say which signal ended a process that could not say anything itself; None: it ended by itself."""
    number = -code if code < 0 else code - 128
    try:
        ended = signal.Signals(number)
    except ValueError:
        return None
    remedy = _REMEDIES.get(ended, "Its last lines:")
    return f"the process was ended by {ended.name}, and could not say why. Nothing is half published. {remedy}"


def stop(verb: str, again: bool, said: str, log: logging.Logger, code: int = 1) -> NoReturn:
    """Fail the task of a stage for a reason outside its process, and log the reason.

    Raises:
        StageStopped: where a retry may help.
        StageRefused: where it does not.
    """
    log.error("%s", said)
    _raise(verb, RETRYABLE if again else code, said, again)


def _raise(verb: str, code: int, said: str, again: bool) -> NoReturn:
    raise (StageStopped if again else StageRefused)(verb, code, said)


def teller(log: logging.Logger) -> Callable[[str], None]:
    """A function that logs lines. From Contrail's own error on, it logs them as errors."""
    level = logging.INFO

    def tell(line: str) -> None:
        nonlocal level
        level = logging.ERROR if line.startswith(_ERROR_MARK) else level
        log.log(level, "%s", line)

    return tell

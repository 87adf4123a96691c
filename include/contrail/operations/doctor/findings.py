"""A check and what it finds. ``examine`` runs checks side by side, each in a thread with a time limit.

What is checked belongs to the other modules of this room.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Literal

from contrail.adapters import google_errors, machine_errors
from contrail.errors import ContrailError, EngineError, SpecError
from contrail.frozen import Frozen

MOST_SECONDS = 600  # that a check may take
State = Literal["ok", "failed", "not checked"]


class Finding(Frozen):
    """What a check found: one sentence, and the commands that mend it. ``again`` says that the same check may pass later."""

    check: str
    state: State
    said: str
    commands: tuple[str, ...] = ()
    again: bool = False


class FaultError(Exception):
    """What a check found wrong, and the commands to run."""

    def __init__(self, said: str, *commands: str, again: bool = False) -> None:
        super().__init__(said)
        self.commands, self.again = commands, again


class NotCheckedError(Exception):
    """Why a check could not be made, and the command that can make it, if there is one."""

    def __init__(self, said: str, *commands: str) -> None:
        super().__init__(said)
        self.commands = commands


@dataclass(frozen=True)
class Check:
    """One check. ``run`` says what is right, or raises ``FaultError`` or ``NotCheckedError``."""

    name: str
    run: Callable[[], str]


def examine(checks: Sequence[Check], seconds: float) -> list[Finding]:
    """Run all checks at once and return what each found, in their order.

    A check that raises anything has failed. So has one without an answer after ``seconds``. Its thread is left behind, and
    ends with the process.
    """
    answers: SimpleQueue[tuple[int, Finding]] = SimpleQueue()
    end = monotonic() + seconds
    for number, check in enumerate(checks):
        task = threading.Thread(target=lambda n=number, c=check: answers.put((n, _found(c))), daemon=True)
        task.start()
    found: dict[int, Finding] = {}
    while len(found) < len(checks):
        try:
            number, finding = answers.get(timeout=max(0.0, end - monotonic()))
        except Empty:
            break
        found[number] = finding
    return [found.get(number) or _unanswered(check, seconds) for number, check in enumerate(checks)]


def _unanswered(check: Check, seconds: float) -> Finding:
    said = f"no answer within {seconds:g} s"
    more = min(math.ceil(4 * seconds), MOST_SECONDS)
    commands = (f"contrail doctor --seconds {more}",) if more > seconds else ()
    return Finding(check=check.name, state="failed", said=said, commands=commands, again=True)


def _found(check: Check) -> Finding:
    try:
        return Finding(check=check.name, state="ok", said=check.run())
    except NotCheckedError as error:
        return Finding(check=check.name, state="not checked", said=str(error), commands=error.commands)
    except FaultError as error:
        return _failed(check, str(error), error.commands, error.again)
    except ContrailError as error:
        return _failed(check, str(error), (), error.retryable)
    except (Exception, SystemExit) as error:
        ours = None if isinstance(error, SystemExit) else google_errors.as_ours(error) or machine_errors.as_ours(error)
        if ours is not None:
            return _failed(check, str(ours), (), ours.retryable)
        said = f"the check itself failed: {type(error).__name__}: {error}. Please report it"
        return _failed(check, said, (), False)


def _failed(check: Check, said: str, commands: tuple[str, ...], again: bool) -> Finding:
    return Finding(check=check.name, state="failed", said=said, commands=commands, again=again)


def exit_code(findings: Sequence[Finding]) -> int:
    """The exit status: 0 without a failure, 75 where all failures may pass later, else 2."""
    failed = [one for one in findings if one.state == "failed"]
    if not failed:
        return 0
    return EngineError.exit_code if all(one.again for one in failed) else SpecError.exit_code

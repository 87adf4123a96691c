"""What can be done to the machine while a command runs, and how a command may end then. ``machine`` has the cases."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.chaos.arena import Arena, Ended

AGAIN = 75
# What no person should have to read.
_NOT_CLEAR = re.compile(
    r"Traceback \(most recent|did not expect this|Exception ignored|was destroyed but it is pending"
)
_MARK = "✗ "


def nothing() -> None:
    """Leave the command's process as it is."""


def undisturbed(_: Arena) -> AbstractContextManager[None]:
    """Leave the machine as it is."""
    return nullcontext()


@dataclass(frozen=True)
class Disturbance:
    """A fault of the machine for the length of one command.

    Attributes:
        how: Names it in reports.
        inside: Is called in the command's process before the command begins.
        around: Is entered before the process starts, and left when it has ended.
        ends: Exit codes that say what happened, beside those of an undisturbed run.
        says: What the message must have, as a pattern.
        message: Whether such an end has to come with a message. A process that the machine kills can print none.
    """

    how: str
    inside: Callable[[], None] = nothing
    around: Callable[[Arena], AbstractContextManager[None]] = undisturbed
    ends: frozenset[int] = frozenset({AGAIN})
    says: str = ""
    message: bool = True

    def problem(self, ended: Ended, calm: frozenset[int | None]) -> str | None:
        """Say what is wrong with an end; None: it is one of an undisturbed run, or it is told clearly."""
        if ended.code is None:
            return None  # it never ended, which is told elsewhere
        said = ended.said[-1200:]
        if noise := _NOT_CLEAR.search(ended.said):
            return f"exit {ended.code}, and it prints '{noise[0]}': {said}"
        if ended.code in calm:
            return None
        if ended.code not in self.ends:
            return f"exit {ended.code} and no clear message: {said}"
        if not self.message:
            return None
        messages = ended.said.count(_MARK)
        if messages != 1:
            return f"exit {ended.code} with {messages} messages: {said}"
        if not re.search(self.says, message_of(ended)):
            return f"exit {ended.code}, and the message lacks '{self.says}': {said}"
        return None


def message_of(ended: Ended) -> str:
    """The message with which a command ended; empty without one."""
    return ended.said.rpartition(_MARK)[2].strip() if _MARK in ended.said else ""

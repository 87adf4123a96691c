"""What an incident is: what happens on which of its days, what people must be told of it, and who mends it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar

from contrail.notify.messages import Kind
from tests.soak.ground import FLIGHTS, Ground

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Told:
    """A message that people must get: its kind, words of it as a pattern, and how often; with None, they may get it.

    In the pattern ``{day}`` is the incident's first day, ``{before}`` the one before and ``{after}`` the one after.
    """

    kind: Kind
    words: str
    times: int | None = 1

    def fits(self, message: dict[str, Any], day: date) -> bool:
        """Whether a message is this one, of an incident that began on a day."""
        days = {"day": day, "before": day - _DAY, "after": day + _DAY}
        said = f"{message['where']} {message['happened']}"
        return message["kind"] == self.kind and bool(re.search(self.words.format(**days), said, re.DOTALL))


class Incident:
    """Something goes wrong on ``days`` days of a pipeline. A kind of incident says what, in the first line of its docstring.

    Attributes:
        told: What people must be told, each once.
        person: Who mends it; empty where it must heal by itself.
        strikes: Whether it is nothing unless ``during`` has met its stage, which the journal then says.
    """

    pipeline: str = FLIGHTS
    days: int = 1
    told: Sequence[Told] = ()
    person: ClassVar[str] = ""
    strikes: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What happens, in a few words."""
        return (self.__doc__ or "").splitlines()[0].rstrip(".")

    def before(self, ground: Ground, number: int, day: date) -> None:
        """Its ``number``-th day, from 0, has landed, and no run of it has begun."""

    def during(self, ground: Ground, number: int, day: date) -> None:
        """The runs of the day have begun. This is called in a thread."""

    def after(self, ground: Ground, number: int, day: date) -> bool:
        """The runs of the day have ended. Do what the person does; True when the runs of the day go on."""
        return False

"""What a reproduction compared, and what came of it: typed, for a terminal, a script and a test."""

from collections.abc import Sequence
from datetime import date
from typing import Literal

from contrail.frozen import Frozen

State = Literal["same", "differs", "unknown"]
SAME: State = "same"
DIFFERS: State = "differs"
UNKNOWN: State = "unknown"
Outcome = Literal["same bytes", "other bytes", "not fitted"]
# What a training may learn after the trees, by the names of the card, as people read it.
AFTER = {"calibration": "calibration step", "decision": "threshold", "interval": "interval"}


class Compared(Frozen):
    """One thing that a model depends on: as the training recorded it, and as it is here.

    ``says`` tells what differs, or why nobody can know. ``prevents`` says that there can be no fit.
    """

    what: str
    recorded: str
    here: str
    state: State
    says: str = ""
    prevents: bool = False


def failed_fit(why: str) -> Compared:
    """The line of a fit that ended with an error. It is the cause where nothing else differs."""
    return Compared(what="fit", recorded="a model", here="an error", state=DIFFERS, says=why)


def cause_of(compared: Sequence[Compared]) -> Compared | None:
    """What prevents a fit, else the first thing that differs, else the first that nobody can know."""
    others = [one for one in compared if one.state != SAME]
    ranked = sorted(others, key=lambda one: (not one.prevents, one.state != DIFFERS))
    return ranked[0] if ranked else None


class Reproduction(Frozen):
    """A version that was trained again, or that could not be.

    ``compared`` is in the order in which a cause is looked for. ``cause`` is the first thing that differs; it is None for the
    same bytes. ``difference`` says where the two models part. ``seconds`` are those of the process that fits.

    ``after`` names what follows the trees of the version and was made again. ``left_out`` names what was not, and
    ``left_out_why`` says why: then the outcome speaks of the trees alone.
    """

    pipeline: str
    version: str
    start: date
    end: date
    rows: int
    outcome: Outcome
    compared: tuple[Compared, ...]
    cause: Compared | None
    difference: str
    recorded_sha256: str
    made_sha256: str | None
    rounds: int | None
    seconds: float | None
    environment: bool
    after: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    left_out_why: str = ""

    @property
    def whole(self) -> bool:
        """Whether all that predictions depend on was made again, and is the same."""
        return self.outcome == "same bytes" and not self.left_out

    @property
    def says(self) -> str:
        """The outcome in words, as a score card cites it."""
        if self.outcome != "same bytes" or not (self.after or self.left_out):
            return self.outcome
        if self.left_out:
            return (
                f"{self.outcome}, of the trees only; the {' and the '.join(self.left_out)} after them: not made again"
            )
        return f"{self.outcome}, and the same {' and '.join(self.after)}"

    @property
    def libraries_differ(self) -> bool:
        """Whether libraries that the fit loads are others than the recorded ones."""
        return any(one.what == "libraries" and one.state == DIFFERS for one in self.compared)

"""What a check of leaks found: typed, for a terminal, a script and a test. Finding it does not belong here."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from contrail.frozen import Frozen

Level = Literal["leak", "warning"]
LEAK: Level = "leak"
WARNING: Level = "warning"
State = Literal["clean", "found", "not checked"]

# Each check, and the question that it answers.
CHECKS: Mapping[str, str] = {
    "cut-off": "Do features stay the same without what was not known?",
    "planted": "Do features stay the same with absurd values in what was not known?",
    "corrected": "Were features made of the values that were known then?",
    "alone": "Does a feature alone tell the outcome?",
    "nulls": "Does it tell the outcome that a value is missing?",
    "model": "Is a model of these features too good?",
    "clock": "Does each row become known after what it reports?",
    "split": "Do rows for tests come after rows for training?",
    "encoding": "Do models know only categories of their training?",
}


class Row(Frozen):
    """A row that shows a finding: the value of a feature as it is built, and what it would have to be.

    Of a clock, ``value`` is the time from which the row was known, and ``other`` the time of what it reports.
    """

    partition: date
    key: Mapping[str, Any]
    value: str | None
    other: str | None


class Finding(Frozen):
    """One thing that is wrong (``leak``) or looks wrong (``warning``), with the number of its rows and some of them."""

    check: str
    level: Level
    subject: str
    says: str
    rows: int = 0
    examples: tuple[Row, ...] = ()


class Checked(Frozen):
    """One check and what became of it. ``says`` tells what it looked at, or why it could not look."""

    check: str
    state: State
    says: str


class Leaks(Frozen):
    """All that was checked of a pipeline over a range, and what was found. ``rows`` counts the rows that were built."""

    pipeline: str
    partitions: str
    cutoffs: tuple[date, ...]
    seed: int
    rows: int
    checks: tuple[Checked, ...]
    findings: tuple[Finding, ...]

    def of(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(one for one in self.findings if one.level == level)

    @property
    def sentence(self) -> str:
        """What was checked, and what leaks, without a value of a row."""
        leaking = ", ".join(dict.fromkeys(one.subject for one in self.of(LEAK))) or "nothing"
        left = [one.check for one in self.checks if one.state == "not checked"]
        without = f"; not checked: {', '.join(left)}" if left else ""
        cuts = ", ".join(map(str, self.cutoffs))
        return f"{leaking} leaks in {self.rows:,} rows of {self.partitions}, cut off on {cuts}{without}"


class Told(Frozen):
    """What one check says: what it looked at, and its findings; or why it could not look."""

    says: str
    findings: tuple[Finding, ...] = ()
    checked: bool = True


def told(says: str, findings: Sequence[Finding] = ()) -> Told:
    """A check that looked."""
    return Told(says=says, findings=tuple(findings))


def not_checked(why: str) -> Told:
    """A check that could not look."""
    return Told(says=why, checked=False)


def checked(check: str, found: Told) -> Checked:
    """The line of a check."""
    state: State = "not checked" if not found.checked else "found" if found.findings else "clean"
    return Checked(check=check, state=state, says=found.says)

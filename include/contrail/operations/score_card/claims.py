"""What a test of the score card answers with: claims about real state, each with where and when it was seen.

A test has no points of its own. ``points`` makes them of its claims, by one rule for all tests.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationInfo, field_validator

from contrail.errors import ContrailError
from contrail.frozen import Frozen

if TYPE_CHECKING:
    from contrail.operations.score_card.state import State

Needed = Literal["half", "whole"]
How = Literal["run", "cited"]
Of = Literal["pipeline", "project"]


class Claim(Frozen):
    """One thing that was looked at.

    Attributes:
        holds: Whether it is so.
        says: What was found, or what is missing.
        needed: ``half``: without it the test has no points. ``whole``: without it half a point is all.
        how: ``run``: this command has just tried it. ``cited``: a record or a file says so.
        of: Whether it is about the pipeline, with its spec and tables, or the project, with its code and CI.
        link: Path, snapshot, run or page where it can be seen.
        at: When it was seen or recorded, ISO 8601.
        remedy: What would make it hold; empty when it does.
    """

    holds: bool
    says: str
    needed: Needed
    how: How
    of: Of
    link: str = ""
    at: str = ""
    remedy: str = ""

    @field_validator("remedy")
    @classmethod
    def _only_where_it_does_not_hold(cls, remedy: str, seen: ValidationInfo) -> str:
        """Who makes a claim words the remedy for what is missing; where nothing is, the words would have a gap."""
        return "" if seen.data.get("holds") else remedy


Look = Callable[["State"], Iterator[Claim]]


@dataclass(frozen=True)
class RubricTest:
    """A test of the rubric. ``asks`` is its question, ``half`` and ``whole`` say what gives the points."""

    number: str
    name: str
    asks: str
    half: str
    whole: str
    look: Look


class Scored(Frozen):
    """A test with its points and the claims that give them. ``raises`` is what would raise it."""

    number: str
    name: str
    asks: str
    half: str
    whole: str
    points: float
    claims: tuple[Claim, ...]
    raises: tuple[str, ...]

    @property
    def about(self) -> str:
        """What it depends on: the pipeline, the project, or both."""
        return " and ".join(sorted({one.of for one in self.claims}))

    @property
    def missing(self) -> str:
        """Why it has not the whole point; empty when it has."""
        return "; ".join(one.says.rstrip(".") for one in self.claims if not one.holds)


class Section(Frozen):
    """Seven tests. Its score is the sum of their points."""

    name: str
    points: float
    tests: tuple[Scored, ...]


def points(claims: Sequence[Claim]) -> float:
    """Points for claims: 0 without all that is needed for a half, 1 when all of them hold, else 0.5.

    Example:
        >>> seen = Claim(holds=True, says="", needed="half", how="run", of="pipeline")
        >>> also = seen.model_copy(update={"needed": "whole", "holds": False})
        >>> points([seen]), points([seen, also]), points([also]), points([])
        (1.0, 0.5, 0.0, 0.0)
    """
    first = [one.holds for one in claims if one.needed == "half"]
    if not first or not all(first):
        return 0.0
    return 1.0 if all(one.holds for one in claims) else 0.5


def scored(test: RubricTest, state: "State") -> Scored:
    """Look at the evidence of a test. What cannot be looked at is a claim that does not hold."""
    claims = tuple(_looked(test.look(state)))
    return Scored(
        number=test.number,
        name=test.name,
        asks=test.asks,
        half=test.half,
        whole=test.whole,
        points=points(claims),
        claims=claims,
        raises=tuple(_raises(claims)),
    )


def _raises(claims: Sequence[Claim]) -> Iterable[str]:
    """What would give the next half of a point."""
    left = [one for one in claims if not one.holds]
    first = [one for one in left if one.needed == "half"] or left
    return dict.fromkeys(one.remedy for one in first if one.remedy)


def section(name: str, tests: Iterable[RubricTest], state: "State") -> Section:
    """Look at the evidence of a section's tests."""
    found = tuple(scored(test, state) for test in tests)
    return Section(name=name, points=sum(one.points for one in found), tests=found)


def _looked(claims: Iterator[Claim]) -> Iterator[Claim]:
    """The claims, with the error that ended them."""
    try:
        yield from claims
    except ContrailError as error:
        says = str(error).strip().partition("\n")[0]
        yield Claim(holds=False, says=says, needed="half", how="run", of="pipeline", remedy=says)

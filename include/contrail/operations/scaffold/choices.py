"""What ``contrail new`` takes for what, and why: each choice is told, and a person may make it another one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, ValidationError

from contrail.config.problems import hint
from contrail.errors import SpecError
from contrail.frozen import Frozen

Rows = Literal["planned", "events"]
Task = Literal["binary", "regression"]
Ask = Callable[[str, str, Sequence[str]], str]
"""Asks a person: a question, the answer that is taken without one, and the answers that there are, if they are few."""


class NewOptions(Frozen):
    """What a person says of the sample. What is left out is guessed, or asked."""

    label: str | None = Field(default=None, description="Column of the outcome to predict.")
    task: Task | None = Field(default=None, description="A probability, or a number.")
    time: str | None = Field(default=None, description="Column of the date or time of a row.")
    rows: Rows | None = Field(
        default=None,
        description="planned: a row is expected before its day begins. events: it exists only once it happens.",
    )
    known_at: str | None = Field(default=None, description="Column of the instant at which the outcome became known.")
    label_after: int | None = Field(
        default=None, ge=0, le=365, description="Days after a row's time at which its outcome is known."
    )
    key: tuple[str, ...] = Field(default=(), description="Columns that tell rows apart.")
    known_ahead: tuple[str, ...] = Field(default=(), description="Columns that are known at the prediction.")
    known_later: tuple[str, ...] = Field(default=(), description="Columns that are known only with the outcome.")
    timezone: str | None = Field(default=None, description="IANA zone in which days begin.")


def options_of(values: dict[str, Any]) -> NewOptions:
    """Options from their values on the command line.

    Raises:
        SpecError: naming the option and what it may be.
    """
    try:
        return NewOptions.model_validate(values)
    except ValidationError as error:
        said = [f"--{str(item['loc'][0]).replace('_', '-')} {item['input']}: {item['msg']}" for item in error.errors()]
        raise SpecError("; ".join(said)) from error


@dataclass(frozen=True)
class Choice:
    """One thing that was taken for another: ``what`` is ``taken``, because of ``why``; ``others`` could be.

    ``decide`` says what only a person can know. It is empty where nothing is in doubt.
    """

    what: str
    taken: str
    why: str
    others: tuple[str, ...] = ()
    decide: str = ""


@dataclass
class Choices:
    """The choices so far, and how a person is asked. Without ``ask``, every guess is taken."""

    ask: Ask | None = None
    made: list[Choice] = field(default_factory=list)

    def settle(self, question: str, guess: Choice, given: str | None = None, closed: Sequence[str] = ()) -> str:
        """Make a choice: what was given, else what a person answers, else the guess.

        Args:
            question: What a person is asked; empty where it is never asked.
            guess: The choice without a person.
            given: What an option says.
            closed: All answers that there are.

        Raises:
            SpecError: for an answer that there is none.
        """
        answer, why = guess.taken, guess.why
        if given is not None:
            answer, why = given, "you said so"
        elif self.ask and question:
            answer = self.ask(f"{question} ({guess.why})" if guess.why else question, guess.taken, closed)
            why = guess.why if answer == guess.taken else "you said so"
        if closed and answer not in closed:
            raise SpecError(f"{guess.what}: there is no '{answer}'; {hint(answer, closed, 'there are')}")
        others = tuple(other for other in (guess.taken, *guess.others) if other != answer)
        said = bool(given is not None or (self.ask and question))
        self.made.append(Choice(guess.what, answer, why, others, "" if said else guess.decide))
        return answer

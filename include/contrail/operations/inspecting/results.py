"""What an inspection of features found, as frozen models. How it is found belongs to the modules beside it."""

from collections.abc import Iterator
from datetime import date
from typing import Literal

from contrail.frozen import Frozen
from contrail.methods.intervals import Interval
from contrail.operations.inspecting.build_costs import BuildCosts

Verdict = Literal["drop", "keep", "uncertain"]
DROP: Literal["drop"] = "drop"
KEEP: Literal["keep"] = "keep"
UNCERTAIN: Literal["uncertain"] = "uncertain"


class InspectedFeature(Frozen):
    """A feature, with what it brings, what it costs, and what is wrong with it.

    ``gain`` is its share of the trees' gain. ``size`` is its mean absolute SHAP value. ``shuffled`` is the loss that is
    added while it tells nothing, ``without`` that of trees without it, where they were grown. ``seconds`` are those of
    ``groups``, with which it is built. ``unusual_days`` of ``measured_days`` drifted. ``missing`` is the share without a
    value after the training, ``missing_trained`` within it. ``partner`` is the feature most like it.
    """

    name: str
    kind: Literal["number", "category"]
    gain: float
    size: float
    shuffled: Interval
    without: Interval | None
    groups: tuple[str, ...]
    seconds: float
    unusual_days: int
    measured_days: int
    missing_trained: float
    missing: float
    partner: str | None
    likeness: float
    cluster: tuple[str, ...]
    verdict: Verdict
    because: str


class TriedDrop(Frozen):
    """Trees that grew without some features, and the loss that this adds.

    ``why``: alone; covered: the others of a cluster whose ``covered_by`` stays; cluster: all of one; together: all that
    could be dropped.
    """

    why: Literal["alone", "covered", "cluster", "together"]
    without: tuple[str, ...]
    covered_by: str | None = None
    added: Interval
    harmless: bool


class Inspection(Frozen):
    """All of it. Losses are of rows after the training, ``rows`` of them: one of ``every``.

    ``margin`` is the most that may be lost: a share of what the model gains over ``loss_of_mean``. ``seed_noise`` is the
    standard deviation of an added loss between seeds, which every interval of trees includes. ``left`` names features that
    were not tried alone, although shuffling them costs nothing that is seen.
    """

    pipeline: str
    version: str
    is_champion: bool
    partitions: str
    days: int
    rows: int
    every: int
    trained_rows: int
    trained_every: int
    metric: str
    loss: float
    loss_of_mean: float
    margin: float
    repeats: int
    seeds: int
    together_seeds: int
    seed_noise: float
    features: tuple[InspectedFeature, ...]
    tried: tuple[TriedDrop, ...]
    drop: tuple[str, ...]
    together: Interval | None
    saved_seconds: float
    costs: BuildCosts
    left: tuple[str, ...]
    refits: int
    refit_seconds: float
    thorough: bool

    @property
    def metric_name(self) -> str:
        """The loss, as people say it."""
        return "log loss" if self.metric == "log_loss" else "RMSE"

    @property
    def sentence(self) -> str:
        """What to drop, and what that costs."""
        count = len(self.features)
        if not self.drop or self.together is None:
            return f"each of {count} features is worth keeping, or nothing shows that it can go"
        saved = f", and saves {self.saved_seconds:.2g} s of a day's build" if self.saved_seconds else ""
        return (
            f"{len(self.drop)} of {count} features could be dropped: without all of them the {self.metric_name} changes by "
            f"{of(self.together)}{saved}"
        )

    @property
    def rows_of(self) -> str:
        """How many rows judged, and which: 35,452 rows, every third row."""
        return f"{self.rows:,} rows" + (f", every {nth(self.every)} row" if self.every > 1 else "")

    @property
    def day(self) -> date:
        """The day whose build was timed."""
        return self.costs.day

    def by_worth(self) -> Iterator[InspectedFeature]:
        """The features, those to be dropped last, else the one whose shuffling costs most first."""
        order: dict[Verdict, int] = {KEEP: 0, UNCERTAIN: 1, DROP: 2}
        yield from sorted(self.features, key=lambda one: (order[one.verdict], -one.shuffled.estimate))


def nth(number: int) -> str:
    """The ordinal of a number from 2 on, as people write it."""
    words = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    if number - 2 < len(words):
        return words[number - 2]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def of(interval: Interval) -> str:
    """A change with its interval: +0.0012 (+0.0008 to +0.0016)."""
    return f"{signed(interval.estimate)} ({signed(interval.low)} to {signed(interval.high)})"


def signed(value: float) -> str:
    """A change of a loss, with so many digits that it can be read."""
    digits = 5 if abs(value) < 0.1 else 4 if abs(value) < 10 else 1
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else "0"

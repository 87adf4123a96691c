"""The windows that suit a sample: what its days are trained on, judged on and scored on, and how many rows a gate needs."""

from dataclasses import dataclass
from datetime import date, timedelta

from contrail.errors import DataError
from contrail.methods.intervals import FEWEST_DAYS
from contrail.partitions import Partitions

_DEFAULT_ROWS = 1_000  # gate.min_rows without a word
_LONGEST = 1_095  # days of a first training; three years show each season, and land in minutes
_SMALL = 20_000  # rows up to which shallow trees learn less of chance


@dataclass(frozen=True)
class Windows:
    """Days of a pipeline. ``whole`` has all that files are landed for, the others those of a stage."""

    whole: Partitions
    train: Partitions
    gate: Partitions
    score: Partitions
    lookback_days: int
    short_days: int
    validation_days: int
    embargo_days: int


def windows_of(name: str, asked: Partitions, known: Partitions, delay: int) -> Windows:
    """Divide the days of a sample.

    Args:
        name: Name of the sample, for messages.
        asked: From the first to the last day that has something to predict.
        known: From the first to the last day on which outcomes became known.
        delay: Days after which nearly all outcomes of a day are known.

    Raises:
        DataError: There are too few days.
    """
    count = len(asked)
    lookback = 28 if count >= 150 else 14 if count >= 90 else 7
    gate = min(28, max(7, count // 8))
    validation = min(31, max(FEWEST_DAYS, count // 8))
    embargo = max(1, delay)
    score = min(30, max(1, count // 10))
    train = count - lookback - embargo - gate - score
    train = min(train, _LONGEST)
    # Without a month to learn from, nothing that a gate says would mean much.
    least = validation + embargo + max(7, validation)
    if train < least:
        needed = count - train + least
        raise DataError(
            f"{name}: {count} days, {asked}, are too few; {needed} or more are needed. Training takes {least} of them, the gate "
            f"{gate}, the look-back of features {lookback}, scoring {score}, and {embargo} pass until outcomes are known. "
            "Nothing was written. Give a longer sample"
        )
    last = asked.end - timedelta(days=score)
    end = last - timedelta(days=gate + embargo)
    start = end - timedelta(days=train - 1)
    first = max(min(asked.start, known.start), start - timedelta(days=lookback + 1))
    return Windows(
        whole=Partitions(first, max(asked.end, known.end)),
        train=Partitions(start, end),
        gate=Partitions(end + timedelta(days=embargo + 1), last),
        score=Partitions(last + timedelta(days=1), asked.end),
        lookback_days=lookback,
        short_days=7 if lookback > 7 else 3,
        validation_days=validation,
        embargo_days=embargo,
    )


def fewest_rows(labelled: int) -> int:
    """The rows that a gate needs: half of those that its days have in the sample, at most the default."""
    return min(_DEFAULT_ROWS, max(1, labelled // 2))


def shallow(rows: int) -> bool:
    """Whether there are so few rows that trees should be shallow."""
    return rows < _SMALL


def day(value: object) -> date:
    """A date as DuckDB gives it."""
    return date.fromisoformat(str(value)[:10])

"""The features of a new pipeline, by the helpers of ``contrail.api``: the row itself, its calendar, and the past.

How they are written as code belongs to the templates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from contrail.adapters.sample_files import Sample, SampleColumn
from contrail.operations.scaffold.known import Known, is_category
from contrail.operations.scaffold.roles import Roles
from contrail.operations.scaffold.windows import Windows

_MOST_DECIMALS = 4


@dataclass(frozen=True)
class Feature:
    """A feature. ``scale`` undoes what made its values whole numbers."""

    name: str
    doc: str
    kind: Literal["number", "category"] = "number"
    scale: int = 1


@dataclass(frozen=True)
class Mean:
    """What is averaged: a name, and the Python that makes a column of it."""

    name: str
    code: str
    scale: int


@dataclass(frozen=True)
class Past:
    """Means of what became known in the last days, by some columns."""

    by: tuple[str, ...]
    days: tuple[int, ...]
    means: tuple[Mean, ...]
    prefix: str
    said: str

    def features(self) -> Iterator[Feature]:
        """Yield its columns."""
        for days in self.days:
            yield Feature(
                f"{self.prefix}_rows_{days}d", f"Outcomes {self.said} that became known in the last {days} days."
            )
            for mean in self.means:
                doc = f"Mean {mean.name} {self.said} over the last {days} days."
                yield Feature(f"{self.prefix}_{mean.name}_{days}d", doc, scale=mean.scale)


@dataclass(frozen=True)
class Made:
    """The features of a pipeline.

    Attributes:
        calendar: Names of the columns made of the date: day of the week, and the hour of events.
        own: Features that the row has by itself, its calendar first.
        references: Features of each reference table, by its name.
        past: Means of past outcomes.
    """

    calendar: tuple[str, ...]
    own: tuple[Feature, ...]
    references: tuple[tuple[str, str, tuple[Feature, ...]], ...]
    past: tuple[Past, ...]

    @property
    def all(self) -> list[Feature]:
        """All of them, in the order of the spec."""
        joined = [feature for _, _, features in self.references for feature in features]
        return [*self.own, *joined, *(feature for past in self.past for feature in past.features())]


def features_of(
    sample: Sample, roles: Roles, known: Known, clock: str, windows: Windows, references: Sequence[tuple[Sample, str]]
) -> Made:
    """Choose features.

    Args:
        sample: The sample.
        roles: What its columns are.
        known: Which of them are known ahead.
        clock: The column of the time of the day of planned rows; empty for none.
        windows: The windows that suit it.
        references: Reference tables and their key.
    """
    names = {column.name for column in sample.columns}
    weekday = "day_of_week" if "day_of_week" not in names else "weekday_of_date"
    own = [Feature(weekday, "1 is Sunday, 7 is Saturday.")]
    hour = ""
    if roles.rows == "events" and roles.time.type == "timestamp":
        hour = "hour_of_day" if "hour_of_day" not in names else "hour_of_time"
        own.append(Feature(hour, "Local hour of the event, 0 to 23."))
    if clock:
        own.append(Feature(clock, "Time of the day: see the key."))
    dims = [sample.column(name) for name in roles.dims] if roles.rows == "planned" or roles.by_time else []
    own += [feature for column in [*dims, *known.ahead] if (feature := _own(column, known))]
    joined = tuple(
        (
            table.name,
            key,
            tuple(f for c in table.columns if c.name != key and c.name not in names and (f := _own(c, known))),
        )
        for table, key in references
    )
    past = tuple(_past(roles, known, clock, weekday, windows))
    calendar = (weekday, *([hour] if hour else []))
    return Made(calendar, tuple(own), joined, past)


def _own(column: SampleColumn, known: Known) -> Feature | None:
    """A column as a feature; none for texts of many values, for persons' and for those without a second value."""
    if column.name in known.personal or column.distinct < 2:
        return None
    doc = f"{column.given}, as the row has it."
    if column.type in ("int", "float", "bool"):
        return Feature(column.name, doc)
    return Feature(column.name, doc, "category") if is_category(column) else None


def _past(roles: Roles, known: Known, clock: str, weekday: str, windows: Windows) -> Iterator[Past]:
    means = tuple(_mean(column, None) for column in known.later_numbers)
    label = _mean(roles.label, roles.positive)
    days = (windows.short_days, windows.lookback_days)
    if roles.rows == "planned":
        slot = (*roles.dims, *([clock] if clock else []))
        if slot:
            yield Past(slot, days, (label, *means), "_".join(slot), f"of the same {' and '.join(slot)}")
        if windows.lookback_days >= 14:
            by = (*slot, weekday)
            yield Past(by, (windows.lookback_days,), (label,), "weekly", f"of the same {' and '.join(by)}")
    else:
        for name in known.groups:
            yield Past((name,), days, (label,), name, f"of the same {name}")
    yield Past((), days, (label, *(means if roles.rows == "planned" and not roles.dims else ())), "all", "of all rows")


def _mean(column: SampleColumn, positive: str | None) -> Mean:
    """Sums of whole numbers do not depend on their order, so decimals are counted in their smallest part."""
    if positive is not None:
        return Mean(column.name, f'(F.col("{column.name}") == {quoted_text(positive)}).cast("double")', 1)
    if column.type == "float" and 0 < column.decimals <= _MOST_DECIMALS:
        scale = 10**column.decimals
        return Mean(column.name, f'F.round(F.col("{column.name}") * {scale})', scale)
    return Mean(column.name, f'F.col("{column.name}")', 1)


def quoted_text(text: str) -> str:
    """A text as Python has it, in double quotes where it can, as the formatter writes it."""
    shown = repr(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in text else shown

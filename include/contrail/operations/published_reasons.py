"""The reasons of a score as a row of predictions has them: read, shown to a person, and compared. ``score`` makes them."""

from collections.abc import Mapping
from typing import Any

from contrail.config.spec import PipelineSpec
from contrail.frozen import Frozen


class Reason(Frozen):
    """A feature that moved a score. ``contribution`` is in log-odds, or in label units."""

    feature: str
    value: str | None
    contribution: float


def reasons_in(row: Mapping[str, Any]) -> tuple[Reason, ...]:
    """The reasons that a row of predictions has, the first first."""
    found = list[Reason]()
    while (name := f"reason_{len(found) + 1}") in row and row[name] is not None:
        reason = Reason(feature=row[name], value=row[f"{name}_value"], contribution=row[f"{name}_contribution"])
        found.append(reason)
    return tuple(found)


def shown_reasons(spec: PipelineSpec, reasons: tuple[Reason, ...], personal: bool) -> tuple[Reason, ...]:
    """Reasons as a person may see them: without the values of personal features."""
    now = spec.features.earlier_names
    return tuple(
        one.model_copy(update={"value": None})
        if not personal and now.get(one.feature, one.feature) in spec.personal
        else one
        for one in reasons
    )


def same_reasons(spec: PipelineSpec, published: tuple[Reason, ...], again: tuple[Reason, ...]) -> bool:
    """Whether reasons are the same to the last bit. A feature may have another name now."""
    now = spec.features.earlier_names

    def bits(reasons: tuple[Reason, ...]) -> list[tuple[str, str | None, str]]:
        return [(now.get(one.feature, one.feature), one.value, one.contribution.hex()) for one in reasons]

    return bits(published) == bits(again[: len(published)])

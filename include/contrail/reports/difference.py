"""What a backfill changed, as one self-contained page (Jinja2). It shows; it compares nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contrail.config.spec import PipelineSpec

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_WIDTH, _HEIGHT, _PAD = 960, 190, 8


def render_difference(record: Mapping[str, Any], spec: PipelineSpec) -> str:
    """The page for the record of a backfill that has ended."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "number": _number, "shift": _shift}
    predictions = record["difference"].get("predictions")
    return environment.get_template("difference.html.j2").render(
        record=record,
        title=spec.title,
        binary=spec.task == "binary",
        score=spec.prediction_column,
        words=summary(record["difference"]),
        features=record["difference"].get("features"),
        predictions=predictions,
        chart=chart(predictions["days"]) if predictions else None,
        size={"width": _WIDTH, "height": _HEIGHT},
    )


def summary(difference: Mapping[str, Any]) -> list[str]:
    """The difference in a sentence a table."""
    found = []
    for table, compared in difference.items():
        total = compared["total"]
        counted = f"{total['added']:,} rows added, {total['removed']:,} removed, {total['changed']:,} changed"
        sentence = f"{table}: {counted}, {total['rows_after']:,} now"
        if total.get("mean_shift") is not None:
            sentence += f"; mean score shift {total['mean_shift']:+.4f}"
        if "flipped_to_true" in total:
            sentence += f"; {total['flipped_to_true'] + total['flipped_to_false']:,} decisions flipped"
        found.append(sentence + ".")
    return found


def chart(days: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The mean score of each day before and after, as points of two lines; None when no day has a score."""
    means = [day[name] for day in days for name in ("mean_before", "mean_after") if day[name] is not None]
    if not means:
        return None
    low, high = min(means), max(means)
    height = (high - low) or 1.0

    def points(name: str) -> str:
        found = [
            (
                _PAD + (_WIDTH - 2 * _PAD) * (i / max(len(days) - 1, 1)),
                _HEIGHT - _PAD - (_HEIGHT - 2 * _PAD) * ((day[name] - low) / height),
            )
            for i, day in enumerate(days)
            if day[name] is not None
        ]
        # One day alone would be no line.
        found = [(x - 4, y) for x, y in found] + [(x + 4, y) for x, y in found] if len(found) == 1 else found
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in found)

    return {
        "before": points("mean_before"),
        "after": points("mean_after"),
        "low": low,
        "high": high,
        "first": days[0]["partition"],
        "last": days[-1]["partition"],
    }


def _count(value: float) -> str:
    return f"{int(value):,}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4f}"


def _shift(value: float | None) -> str:
    return "–" if value is None else f"{value:+,.4f}"

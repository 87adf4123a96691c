"""The answer to why a row has its score, as a page that stands alone."""

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from contrail.operations.why import Why
from contrail.reports.page import protected, template

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> "Template":
    return template("why.html.j2", number=number, key=key_words)


def render(found: Why) -> str:
    """Make the page."""
    binary = found.threshold is not None
    return protected(_template().render(why=found, receipt=found.receipt, binary=binary, steps=steps(found)))


def number(value: Any) -> str:
    """A value as people read it: at most six digits, and a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def key_words(key: dict[str, Any]) -> str:
    """A key in words."""
    return ", ".join(f"{name} {value}" for name, value in key.items())


def steps(found: Why) -> list[dict[str, float]]:
    """Where each effect's bar begins, and how wide it is, in percent of the way from the least to the greatest sum."""
    if found.explained is None:
        return []
    sums = [found.explained.base]
    for effect in found.explained.effects:
        sums.append(sums[-1] + effect.contribution)
    least, width = min(sums), (max(sums) - min(sums)) or 1.0
    return [
        {"left": 100 * (min(one, two) - least) / width, "width": 100 * abs(two - one) / width}
        for one, two in pairwise(sums)
    ]

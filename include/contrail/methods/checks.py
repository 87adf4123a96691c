"""One check of the promotion gate, and whether checks let a challenger pass. What is checked does not belong here."""

from collections.abc import Iterable
from typing import Literal

from contrail.frozen import Frozen
from contrail.methods.intervals import Interval


class Check(Frozen):
    """One condition: ``value`` compared with ``bound``. ``passed`` is None when the condition did not apply."""

    name: str
    title: str
    passed: bool | None
    value: float | None = None
    comparison: Literal[">", ">=", "<=", "="] = ">="
    bound: float | None = None
    interval: Interval | None = None
    detail: str


def passed(checks: Iterable[Check]) -> bool:
    """Say whether no check failed."""
    return all(check.passed is not False for check in checks)

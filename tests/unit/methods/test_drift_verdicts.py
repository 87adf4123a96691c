"""Hysteresis: raise_days 3 of_days 5 clear_days 1."""

from datetime import timedelta

import numpy as np
import pytest
from tests.unit.methods.made_days import START

from contrail.config.model_spec import DriftSpec
from contrail.methods.drift_verdicts import history_days, verdicts


def judged(pattern: str, **rule: int) -> str:
    """``pattern`` has the unusual feature of a day, ``.`` for a usual day and a blank for one without rows."""
    days = [(START + timedelta(days=i), mark.strip(".")) for i, mark in enumerate(pattern) if mark != " "]
    return "".join(v.verdict[0] for v in verdicts(days, DriftSpec(**rule)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (".......", "ooooooo"),
        ("..x.......", "oooooooooo"),
        ("xx........", "owwwwooooo"),
        ("x...x.....", "oooowooooo"),
        ("xxx.......", "owddddoooo"),
        ("x.x.x.....", "oowwdddooo"),
        ("xxx..x....", "owdddddooo"),
        ("xxx   x...", "owddooo"),
        ("xyz.......", "oooooooooo"),
        ("xyx.y.....", "oowwwwoooo"),
        ("xyxyx.....", "oowwdddooo"),
    ],
)
def test_verdicts(pattern: str, expected: str) -> None:
    assert judged(pattern) == expected


def test_a_single_strange_day_never_raises_drift() -> None:
    for i in range(40):
        assert "d" not in judged("." * i + "x" + "." * (39 - i))


def test_a_drift_that_is_neither_cleared_nor_raised_again_is_forgotten() -> None:
    found = judged("xxx" + "..x.x" * 8)
    assert found[:10] == "owdddddddd"
    assert found[-1] == "w"


def test_any_split_of_the_days_comes_to_the_same_verdicts() -> None:
    rng = np.random.default_rng(0)
    rule = DriftSpec()
    lingering = [mark == "x" for mark in "xxx" + "..x.x" * 9]
    flags = [*(rng.random(250) < 0.3), *lingering]
    days = [(START + timedelta(days=i), "x" * int(flag)) for i, flag in enumerate(flags)]
    whole = verdicts(days, rule)
    assert {verdict.verdict for verdict in whole} == {"ok", "watch", "drift"}
    for i in range(history_days(rule), len(days)):
        assert verdicts(days[i - history_days(rule) : i + 1], rule)[-1] == whole[i]

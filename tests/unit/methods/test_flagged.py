from datetime import date, timedelta

import numpy as np
import pytest

from contrail.methods.flagged import RUN_DAYS, UsualShare, recent_share, unusual_days, usual_share

FIRST = date(2024, 1, 1)


def window(days: int = 120, rows: int = 100) -> tuple:
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(np.datetime64(FIRST), np.datetime64(FIRST) + days), rows)
    weather = np.repeat(rng.uniform(-0.2, 0.2, days), rows)
    return day, np.clip(rng.uniform(0, 0.6, days * rows) + weather, 0, 1)


def usual_of(days: np.ndarray, predictions: np.ndarray) -> UsualShare | None:
    _, codes = np.unique(days, return_inverse=True)
    return usual_share(np.bincount(codes), np.bincount(codes[predictions >= 0.5], minlength=codes[-1] + 1), 0.5)


def counts(shares: list[float], rows: int = 100) -> dict:
    return {FIRST + timedelta(days=i): (round(share * rows), rows) for i, share in enumerate(shares)}


def test_the_usual_range_holds_every_run_of_the_window_and_is_not_far_wider():
    days, predictions = window()
    usual = usual_of(days, predictions)
    by_day = (predictions >= 0.5).reshape(120, 100).mean(axis=1)
    runs = np.convolve(by_day, np.full(RUN_DAYS, 1 / RUN_DAYS), "valid")
    assert usual.low < runs.min() < runs.max() < usual.high
    assert usual.high - usual.low < 0.5
    assert usual.threshold == 0.5


def test_a_window_of_fewer_than_four_weeks_has_no_usual_range():
    assert usual_of(*window(days=RUN_DAYS - 1)) is None


def test_a_share_that_left_its_range_is_named_and_one_that_did_not_is_not():
    usual = usual_of(*window())
    middle = (usual.low + usual.high) / 2
    quiet = counts([middle] * 60)
    assert unusual_days(quiet, quiet, usual) == []
    fallen = counts([middle] * 40 + [0.0] * 28)
    found = unusual_days(fallen, fallen, usual)
    assert found
    assert min(found) > FIRST + timedelta(days=40), "one day does not do it"
    assert max(found) == FIRST + timedelta(days=67)


def test_the_share_counts_rows_and_needs_three_quarters_of_the_days():
    shares = {FIRST: (10, 10), **{FIRST + timedelta(days=i): (0, 90) for i in range(1, 21)}}
    assert recent_share(shares, FIRST + timedelta(days=20)) == pytest.approx(10 / 1810)
    del shares[FIRST]
    assert recent_share(shares, FIRST + timedelta(days=20)) is None

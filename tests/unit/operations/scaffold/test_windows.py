"""The windows of a sample leave room for each other, whatever its length."""

from datetime import date, timedelta

import pytest
from hypothesis import given, strategies

from contrail.errors import DataError
from contrail.methods.splits import out_of_time_window, split_window
from contrail.operations.scaffold.windows import fewest_rows, windows_of
from contrail.partitions import Partitions

FIRST = date(2020, 1, 1)


@given(count=strategies.integers(1, 4_000), delay=strategies.integers(0, 90))
def test_no_day_is_trained_judged_and_scored(count: int, delay: int) -> None:
    asked = Partitions(FIRST, FIRST + timedelta(days=count - 1))
    known = Partitions(FIRST, asked.end + timedelta(days=delay))
    try:
        windows = windows_of("own", asked, known, delay)
    except DataError as refused:
        assert count < 200 + 2 * delay, refused
        return
    train, gate, score = windows.train, windows.gate, windows.score
    assert gate == out_of_time_window(train.end, windows.embargo_days, len(gate)), "the gate accepts these days"
    assert windows.embargo_days >= max(1, delay)
    assert score.start == gate.end + timedelta(days=1)
    assert score.end == asked.end
    split = split_window(train, windows.validation_days, windows.embargo_days)
    assert len(split.fit) >= 7
    first = train.start - timedelta(days=windows.lookback_days)
    assert asked.start <= first
    assert windows.whole.start <= first
    assert windows.whole.end == known.end


def test_a_short_sample_is_refused_with_the_days_that_it_lacks() -> None:
    days = Partitions(FIRST, FIRST + timedelta(days=29))
    with pytest.raises(DataError, match=r"30 days, 2020-01-01..2020-01-30, are too few; (\d+) or more") as refused:
        windows_of("own", days, days, 5)
    needed = int(str(refused.value).split("too few; ")[1].split(" ")[0])
    enough = Partitions(FIRST, FIRST + timedelta(days=needed - 1))
    assert windows_of("own", enough, enough, 5).train


@pytest.mark.parametrize(("labelled", "rows"), [(0, 1), (1, 1), (54, 27), (5_000, 1_000)])
def test_a_gate_needs_half_of_the_samples_rows(labelled: int, rows: int) -> None:
    assert fewest_rows(labelled) == rows

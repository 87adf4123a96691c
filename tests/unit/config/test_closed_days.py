"""The newest day whose cut-off has passed."""

from datetime import UTC, date, datetime, time

import pytest
from tests.conftest import Toy

from contrail.config.closed_days import newest_closed
from contrail.config.pipeline import parse_pipeline


@pytest.mark.parametrize(("now", "cutoff", "newest"), [
    (datetime(2024, 1, 5, 4, 59, tzinfo=UTC), time(0), date(2024, 1, 4)),  # in New York it is still the fourth
    (datetime(2024, 1, 5, 5, 0, tzinfo=UTC), time(0), date(2024, 1, 5)),
    (datetime(2024, 1, 5, 9, 59, tzinfo=UTC), time(5), date(2024, 1, 4)),
    (datetime(2024, 1, 5, 10, 0, tzinfo=UTC), time(5), date(2024, 1, 5)),
    (datetime(2030, 1, 1, tzinfo=UTC), time(0), date(2024, 3, 10)),
])  # fmt: skip
def test_a_day_is_over_at_its_cutoff_in_the_pipelines_zone(now: datetime, cutoff: time, newest: date, toy: Toy) -> None:
    spec = parse_pipeline("toy").spec.model_copy(update={"cutoff": cutoff})
    assert newest_closed(spec, now) == newest

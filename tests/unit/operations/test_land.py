"""What a source is asked for a day. Whole landings from databases are in tests/integration/test_sources.py."""

from datetime import UTC, date, datetime

from tests.conftest import Toy

from contrail.operations.land import parameters_of_day


def test_a_day_lies_between_two_midnights_of_the_pipelines_zone(toy: Toy) -> None:
    assert parameters_of_day(toy.spec, date(2024, 3, 10)) == {
        "day": date(2024, 3, 10),
        "start": datetime(2024, 3, 10, 5, tzinfo=UTC),
        "end": datetime(2024, 3, 11, 4, tzinfo=UTC),  # New York's clocks went forward in that night
    }
    assert parameters_of_day(toy.spec, None) == {}

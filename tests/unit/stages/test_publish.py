"""Names of the jobs, and who may publish. tests/integration/test_bigquery.py has the rest, with a warehouse."""

from datetime import date

import pytest
from tests.conftest import Toy

from contrail.errors import SpecError
from contrail.stages.publish import work_name

DAY, NEXT = date(2024, 1, 5), date(2024, 1, 6)
CHANGE = {DAY: [None, 40, 7], NEXT: ["job-0", 40, 8]}


def test_whoever_makes_the_same_change_finds_the_same_job() -> None:
    assert work_name("toy", "drift", CHANGE) == work_name("toy", "drift", dict(reversed(CHANGE.items())))
    assert work_name("toy", "drift", CHANGE).startswith("contrail-toy-drift-")


@pytest.mark.parametrize(
    "other",
    [
        ("bike", "drift", CHANGE),
        ("toy", "performance", CHANGE),
        ("toy", "drift", {DAY: [None, 40, 7]}),
        ("toy", "drift", CHANGE | {NEXT: ["job-1", 40, 8]}),
        ("toy", "drift", CHANGE | {NEXT: ["job-0", 41, 8]}),
        ("toy", "drift", CHANGE | {NEXT: ["job-0", 40, 9]}),
    ],
)
def test_every_other_change_has_a_job_of_its_own(other: tuple) -> None:  # type: ignore[type-arg]
    assert work_name(*other) != work_name("toy", "drift", CHANGE)


def test_without_a_warehouse_analysts_query_the_lake(toy: Toy) -> None:
    with pytest.raises(SpecError, match=r"has no `analysts`.*contrail query --pipeline toy"):
        toy.run("publish", "2024-01-05")

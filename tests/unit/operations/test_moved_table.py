"""The commands that make a moved table anew fit the table and its days."""

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_toy

from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.operations.moved_table import move_table

DAYS = "-p toy --from 2024-01-01 --to 2024-01-03"


def three_days(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-03")


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("features", (f"contrail backfill {DAYS} --stages features",)),
        ("validated_parcels", (f"contrail validate {DAYS}", f"contrail backfill {DAYS} --stages features")),
    ],
)
def test_a_moved_table_comes_with_what_makes_it_anew(prepared: Prepare, name: str, commands: tuple[str, ...]) -> None:
    toy = prepared(three_days)
    first = move_table(toy.pipeline, toy.lake, name)
    assert first.commands == commands
    assert first.moved_to.startswith(f"{name}_before_")
    assert move_table(toy.pipeline, toy.lake, name) == first, "the same call again, of a command that was killed"


def test_a_reference_table_is_made_anew_for_the_days_that_read_it(prepared: Prepare) -> None:
    toy = prepared(three_days)
    toy.lake.ensure(datasets.validated(toy.spec, "depots"))
    assert (
        f"contrail backfill {DAYS} --stages features" in move_table(toy.pipeline, toy.lake, "validated_depots").commands
    )


def test_an_unknown_table_is_told(prepared: Prepare) -> None:
    toy = prepared(three_days)
    with pytest.raises(MissingInputError, match="no table 'nothing'"):
        move_table(toy.pipeline, toy.lake, "nothing")

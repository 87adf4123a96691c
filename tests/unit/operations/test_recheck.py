"""A thousand random predictions come out the same when they are computed again."""

import pytest
from tests.conftest import Toy
from tests.unit.lake.test_views import with_personal

from contrail.config.pipeline import Pipeline
from contrail.errors import MissingInputError
from contrail.operations import recheck as module
from contrail.operations.recheck import recheck
from contrail.partitions import Partitions


def test_a_thousand_random_rows_come_out_the_same(answered: Toy) -> None:
    answered.run("score", "2024-01-15", "2024-01-31", model="1")
    found = recheck(answered.lake, answered.pipeline, 1000)
    assert (found.rows, found.same, found.expired, found.others) == (1000, 1000, 0, ())
    assert found.days > 20
    assert recheck(answered.lake, answered.pipeline, 50, seed=1) == recheck(
        answered.lake, answered.pipeline, 50, seed=1
    )


def test_where_there_are_fewer_rows_all_are_taken(answered: Toy) -> None:
    found = recheck(answered.lake, answered.pipeline, 1000, days=Partitions.parse("2024-02-06"))
    assert (found.rows, found.same, found.days, found.versions) == (60, 60, 1, ("1",))


def test_rows_that_come_out_different_are_named(answered: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = module.computed_again
    monkeypatch.setattr(module, "computed_again", lambda *given: (compute(*given)[0] * (1 + 2**-52), True))
    found = recheck(answered.lake, answered.pipeline, 3)
    assert (found.same, len(found.others)) == (0, 3)
    assert all("partition_date=2024-02" in other and "parcel=" in other for other in found.others)
    spec = with_personal(answered.spec, "parcels", "parcel")
    hidden = recheck(answered.lake, Pipeline(answered.pipeline.folder, spec), 3)
    assert all(other.endswith("parcel=•••") for other in hidden.others)


def test_without_predictions_it_says_so(toy: Toy, answered: Toy) -> None:
    with pytest.raises(MissingInputError, match="no predictions of 2024-01-01"):
        recheck(answered.lake, answered.pipeline, 5, days=Partitions.parse("2024-01-01"))

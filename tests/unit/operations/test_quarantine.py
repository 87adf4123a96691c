"""What was kept aside keeps its masks. The page's tests read rules, rows and refusals."""

from dataclasses import replace

import pytest
from tests.conftest import Prepare, Toy
from tests.landed import edit

from contrail.config.personal import MASK
from contrail.operations.quarantine import broken_rules, kept_rows


def one_broken_row(toy: Toy) -> None:
    toy.land("2024-01-01")
    edit(toy, "parcels", "2024-01-01", 2, lambda fields: ["nowhere" if field in "ABC" else field for field in fields])
    for verb in ("ingest", "validate"):
        toy.run(verb, "2024-01-01")


@pytest.mark.parametrize("personal", [False, True])
def test_a_personal_value_of_a_row_is_masked(personal: bool, prepared: Prepare) -> None:
    toy = prepared(one_broken_row)
    parcels = toy.spec.tables["parcels"]
    depot = parcels.columns["depot"].model_copy(update={"personal": personal})
    marked = parcels.model_copy(update={"columns": {**parcels.columns, "depot": depot}})
    spec = toy.spec.model_copy(update={"tables": {**toy.spec.tables, "parcels": marked}})
    pipeline = replace(toy.pipeline, spec=spec)
    assert ("parcels", "known_depot", 1) in [
        (one.table, one.rule, one.rows) for one in broken_rules(toy.lake, pipeline)
    ]
    (kept,) = kept_rows(toy.lake, pipeline, "parcels", "known_depot").rows
    assert ("nowhere" in kept.row, MASK in kept.row) == (not personal, personal)

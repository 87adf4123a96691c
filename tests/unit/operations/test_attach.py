"""An attached file shows persons as a query does."""

from pathlib import Path

import duckdb
import pytest
from tests.conftest import Prepare, Toy
from tests.unit.lake.test_views import with_personal, with_predictions

from contrail.config.pipeline import Pipeline
from contrail.errors import SpecError
from contrail.lake.lake import Lake
from contrail.operations.attach import attach


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(with_predictions)


def test_personal_columns_have_pseudonyms_by_which_tables_can_be_joined(filled: Toy, tmp_path: Path) -> None:
    pipeline = Pipeline(filled.pipeline.folder, with_personal(filled.spec, "parcels", "parcel"))
    query = "SELECT count(*), max(p.parcel) FROM toy.predictions p JOIN toy.features f USING (ship_date, parcel)"
    found = []
    for personal in (False, True):
        attach(pipeline, filled.lake, tmp_path / "lake.duckdb", personal)
        with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as plain:
            found += plain.execute(query).fetchall()
    (hidden, pseudonym), (shown, last) = found
    assert hidden == shown == 180
    assert pseudonym != last


def test_a_lake_in_a_bucket_is_not_attached(filled: Toy, tmp_path: Path) -> None:
    catalog = filled.settings.catalog.model_copy(update={"warehouse_uri": "gs://bucket/lake"})
    elsewhere = Lake(filled.settings.model_copy(update={"catalog": catalog}), "toy")
    with pytest.raises(SpecError, match=r"the lake is at gs://bucket/lake.*BigQuery"):
        attach(filled.pipeline, elsewhere, tmp_path / "lake.duckdb")
    assert not (tmp_path / "lake.duckdb").exists()

"""An attached file shows persons as a query does."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from tests.conftest import Prepare, Toy
from tests.unit.lake.test_views import with_personal, with_predictions

from contrail.config.pipeline import Pipeline
from contrail.errors import EngineError, SpecError
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


@pytest.mark.parametrize("file", ["lake.duckdb", "order.duckdb"])
@pytest.mark.parametrize("name", ["order", "asof", "memory"])
def test_a_pipeline_may_have_a_word_of_sql_as_its_name(name: str, file: str, filled: Toy, tmp_path: Path) -> None:
    named = Pipeline(filled.pipeline.folder, filled.spec.model_copy(update={"name": name}))
    for _ in range(2):  # the second brings the first up to date
        made = attach(named, filled.lake, tmp_path / file)
    with duckdb.connect(str(tmp_path / file), read_only=True) as plain:
        assert plain.execute(f"SELECT count(*) FROM {made.schema}.features").fetchall() == [(180,)]


@pytest.mark.parametrize("name", ["main", "temp", "system", "pg_catalog"])
def test_a_schema_that_duckdb_keeps_for_itself_is_refused(name: str, filled: Toy, tmp_path: Path) -> None:
    named = Pipeline(filled.pipeline.folder, filled.spec.model_copy(update={"name": name}))
    with pytest.raises(SpecError, match=f"DuckDB has a schema or catalog '{name}' of its own"):
        attach(named, filled.lake, tmp_path / "lake.duckdb")
    assert not (tmp_path / "lake.duckdb").exists()


def test_only_a_file_that_is_open_elsewhere_is_said_to_be(filled: Toy, tmp_path: Path) -> None:
    (tmp_path / "block.duckdb").write_bytes(b"no file of DuckDB" * 1000)
    with pytest.raises(SpecError, match=r"block\.duckdb cannot be opened as a file of DuckDB"):
        attach(filled.pipeline, filled.lake, tmp_path / "block.duckdb")
    other = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    path = tmp_path / "open.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", other, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "open\n"
        with pytest.raises(EngineError, match=r"another program has .*open\.duckdb open"):
            attach(filled.pipeline, filled.lake, path)
        holder.communicate("")


def test_a_lake_in_a_bucket_is_not_attached(filled: Toy, tmp_path: Path) -> None:
    catalog = filled.settings.catalog.model_copy(update={"warehouse_uri": "gs://bucket/lake"})
    elsewhere = Lake(filled.settings.model_copy(update={"catalog": catalog}), "toy")
    with pytest.raises(SpecError, match=r"the lake is at gs://bucket/lake.*BigQuery"):
        attach(filled.pipeline, elsewhere, tmp_path / "lake.duckdb")
    assert not (tmp_path / "lake.duckdb").exists()

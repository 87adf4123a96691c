"""The requests to BigQuery: columns, their evolution, and the transaction, without a call."""

import json
from datetime import date
from pathlib import Path

import pytest
from google.api_core import exceptions as google
from google.cloud import bigquery

from contrail.adapters.bigquery import _told, clustering_of, evolved, schema_of, transaction_sql
from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.spec import PipelineSpec
from contrail.errors import ContrailError, DataError, EngineError, InputsChangedError, SpecError
from contrail.lake import datasets
from contrail.lake.warehouse import published, views

GOLDEN = Path(__file__).parent / "golden"
RECORD = {"published": "drift", "lake_snapshot": 42, "row_count": 3, "checksum": 7, "job": "j-0", "run_id": "r"}


def render(spec: PipelineSpec) -> str:
    """Tables, views and a transaction as BigQuery gets them."""
    tables = [*published(spec), datasets.publications(spec)]
    shown = {
        d.name: {
            "clustering": clustering_of(d),
            "description": d.doc,
            "schema": [f.to_api_repr() for f in schema_of(d)],
        }
        for d in tables
    }
    parts = [json.dumps(shown, indent=1, ensure_ascii=False)]
    parts += [
        f"-- {view.dataset.name}\n{view.query(f'`p.contrail.{spec.name}_{view.source}`')}" for view in views(spec)
    ]
    names = (f"p.contrail.{spec.name}_drift", "p.contrail.staging", f"p.contrail.{spec.name}_publications")
    days = {date(2024, 1, 5): RECORD, date(2024, 1, 7): RECORD}
    return "\n\n".join([*parts, transaction_sql(tables[2], *names, days, {"job-2", "job-1"})]) + "\n"


@pytest.mark.parametrize("name", ["flight_delay", "bike_demand"])
def test_tables_views_and_transaction_are_those_of_the_golden_file(home: Path, name: str) -> None:
    """After a change that is meant: python -m tests.unit.adapters.test_bigquery (with PYTHONPATH=include)."""
    assert render(load_pipeline(name).spec) == (GOLDEN / f"bigquery_{name}.txt").read_text()


def test_a_partition_that_has_become_empty_is_deleted_and_noted() -> None:
    (drift,) = (d for d in [datasets.drift(None)])  # type: ignore[arg-type]
    sql = transaction_sql(drift, "p.d.t", None, "p.d.publications", {date(2024, 1, 5): RECORD}, ())
    assert "DELETE FROM `p.d.t`" in sql
    assert sql.count("INSERT INTO") == 1


def test_old_names_of_types_are_no_change(toy_home: Path) -> None:
    dataset = datasets.drift(load_pipeline("toy").spec)
    names = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
    old = [bigquery.SchemaField(f.name, names.get(f.field_type, f.field_type), f.mode) for f in schema_of(dataset)]
    assert evolved("t", old, dataset) == schema_of(dataset)


def test_another_type_is_refused(toy_home: Path) -> None:
    dataset = datasets.drift(load_pipeline("toy").spec)
    old = [bigquery.SchemaField("feature", "INT64"), bigquery.SchemaField("statistic", "STRING")]
    with pytest.raises(SpecError, match=r"feature \(INT64 there, STRING in the spec\)\. Nothing was published"):
        evolved("t", old, dataset)


def test_a_column_that_may_be_null_stays_so(toy_home: Path) -> None:
    dataset = datasets.drift(load_pipeline("toy").spec)
    found = {f.name: f.mode for f in evolved("t", [bigquery.SchemaField("feature", "STRING", "NULLABLE")], dataset)}
    assert found["feature"] == "NULLABLE", "BigQuery never makes a column stricter"
    assert set(found.values()) == {"NULLABLE"}, "rows that are there have nothing in a new column"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (google.ServiceUnavailable("x"), EngineError),
        (google.TooManyRequests("x"), EngineError),
        (ConnectionError("x"), EngineError),
        (google.Forbidden("x", errors=[{"reason": "quotaExceeded"}]), EngineError),
        (google.Forbidden("x", errors=[{"reason": "rateLimitExceeded"}]), EngineError),
        (google.Forbidden("x", errors=[{"reason": "accessDenied"}]), SpecError),
        (google.NotFound("x"), SpecError),
        (google.Forbidden("x"), SpecError),
        (google.BadRequest("Transaction is aborted due to concurrent update against table t"), InputsChangedError),
        (google.BadRequest("x"), DataError),
    ],
)
def test_errors_say_whether_a_retry_may_help(error: Exception, kind: type[ContrailError]) -> None:
    with pytest.raises(kind, match="doing it"), _told("doing it"):
        raise error


def main() -> None:
    """Write the golden files."""
    for name in pipeline_names():
        (GOLDEN / f"bigquery_{name}.txt").write_text(render(load_pipeline(name).spec))


if __name__ == "__main__":
    main()

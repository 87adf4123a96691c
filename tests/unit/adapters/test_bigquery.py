"""The requests to BigQuery: columns, their evolution, and the transaction, without a call."""

import json
from datetime import date
from pathlib import Path

import pytest

from contrail.adapters.bigquery_replacement import Publication, Replacement, transaction_sql
from contrail.adapters.bigquery_tables import clustering_of, schema_of
from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.spec import PipelineSpec
from contrail.lake import records
from contrail.lake.warehouse import Fingerprint, published, views

GOLDEN = Path(__file__).parent / "golden"
RECORD = Publication("drift", 42, Fingerprint(3, 7), "r", "j-0")


def render(spec: PipelineSpec) -> str:
    """Tables, views and a transaction as BigQuery gets them."""
    tables = [*published(spec), records.publications(spec)]
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
    days = {date(2024, 1, 5): RECORD, date(2024, 1, 7): RECORD}
    wanted = Replacement(tables[2], "p.contrail.staging", days, {"job-2", "job-1"})
    names = (f"p.contrail.{spec.name}_drift", f"p.contrail.{spec.name}_publications")
    return "\n\n".join([*parts, transaction_sql(wanted, *names)]) + "\n"


@pytest.mark.parametrize("name", ["flight_delay", "bike_demand"])
def test_tables_views_and_transaction_are_those_of_the_golden_file(home: Path, name: str) -> None:
    """After a change that is meant: python -m tests.unit.adapters.test_bigquery (with PYTHONPATH=include)."""
    assert render(load_pipeline(name).spec) == (GOLDEN / f"bigquery_{name}.txt").read_text()


def main() -> None:
    """Write the golden files."""
    for name in pipeline_names():
        (GOLDEN / f"bigquery_{name}.txt").write_text(render(load_pipeline(name).spec))


if __name__ == "__main__":
    main()

"""What a table that is there may become."""

from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import bigquery

from contrail.adapters.bigquery_tables import evolved, renamed, schema_of
from contrail.config.pipeline import load_pipeline
from contrail.errors import SpecError
from contrail.lake import drift_records


def test_old_names_of_types_are_no_change(toy_home: Path) -> None:
    dataset = drift_records.drift(load_pipeline("toy").spec)
    names = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
    old = [bigquery.SchemaField(f.name, names.get(f.field_type, f.field_type), f.mode) for f in schema_of(dataset)]
    assert evolved("t", old, dataset) == schema_of(dataset)


def test_another_type_is_refused(toy_home: Path) -> None:
    dataset = drift_records.drift(load_pipeline("toy").spec)
    old = [bigquery.SchemaField("feature", "INT64"), bigquery.SchemaField("statistic", "STRING")]
    with pytest.raises(SpecError, match=r"feature \(INT64 there, STRING in the spec\)\. Nothing was published"):
        evolved("t", old, dataset)


def test_a_column_that_may_be_null_stays_so(toy_home: Path) -> None:
    dataset = drift_records.drift(load_pipeline("toy").spec)
    found = {f.name: f.mode for f in evolved("t", [bigquery.SchemaField("feature", "STRING", "NULLABLE")], dataset)}
    assert found["feature"] == "NULLABLE", "BigQuery never makes a column stricter"
    assert set(found.values()) == {"NULLABLE"}, "rows that are there have nothing in a new column"


def test_a_column_that_left_stays_and_may_be_null(toy_home: Path) -> None:
    dataset = drift_records.drift(load_pipeline("toy").spec)
    old = [*schema_of(dataset), bigquery.SchemaField("note", "INTEGER", "REQUIRED")]
    assert evolved("t", old, dataset) == [*schema_of(dataset), bigquery.SchemaField("note", "INT64", "NULLABLE")]


def test_a_column_of_another_name_is_known_by_its_earlier_one(toy_home: Path) -> None:
    dataset = drift_records.drift(load_pipeline("toy").spec)
    columns = {("what" if name == "feature" else name): column for name, column in dataset.columns.items()}
    columns["what"] = columns["what"].model_copy(update={"renamed_from": ("older", "feature")})
    changed = replace(dataset, columns=columns, key=("what",))
    assert renamed(schema_of(dataset), changed) == {"what": "feature"}
    modes = {field.name: field.mode for field in evolved("t", schema_of(dataset), changed)}
    assert (modes["feature"], modes["what"]) == ("NULLABLE", "NULLABLE")
    assert renamed(schema_of(changed), changed) == {}

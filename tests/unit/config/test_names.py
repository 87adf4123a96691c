"""Names: what is reserved is exactly what Contrail adds to tables of its own."""

from pathlib import Path

import pytest

from contrail.config import names
from contrail.config.spec import load_spec
from contrail.lake import datasets, records

TOY = load_spec(Path(__file__).resolve().parents[2] / "pipelines" / "toy" / "pipeline.yaml")


def test_reserved_landed_columns_are_those_that_raw_and_validated_tables_add() -> None:
    source = set(TOY.tables["parcels"].columns)
    added = {*datasets.raw(TOY, "parcels").columns, *datasets.validated(TOY, "parcels").columns} - source
    assert added <= names.OF_LANDED
    assert names.OF_LANDED - added == {"_row", "_known_day"}  # while rows are checked


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_reserved_columns_of_keys_are_those_of_the_tables_that_hold_the_key(task: str) -> None:
    spec = TOY.model_copy(update={"task": task})
    predictions = set(datasets.predictions(spec).columns) - {"partition_date", *spec.key}
    assert [name for name in predictions if not names.key_problem(name)] == []
    assert names.key_problem("cutoff_at") and names.key_problem("label") and names.key_problem("REASON_12_value")


def test_reserved_features_are_columns_of_features_and_of_training_rows() -> None:
    added = set(datasets.features(TOY).columns) - {*TOY.key, *TOY.features.columns}
    assert added <= names.OF_FEATURES
    assert records.performance(TOY).columns.keys() & names.OF_FEATURES == {"partition_date"}


@pytest.mark.parametrize(
    "name", ["order", "select", "day", "rule", "Row", "ä", "日付", "x" * 128, "_id", "group", "x1"]
)
def test_a_column_that_only_needs_quotes_is_taken(name: str) -> None:
    assert names.column_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "has letters, digits and underscores"),
        ("a b", "for example a_b"),
        ('a"b', "for example a_b"),
        ("a;b", "for example a_b"),
        ("Price ($)", "for example Price"),
        ("2024", "for example column_2024"),
        ("²", "does not begin with a digit"),
        ("a\nb", "for example a_b"),
        ("%", "for example column"),
        ("x" * 300, "at most 128 characters; this one has 300"),
        ("_file", "one of Contrail's own columns"),
        ("Partition_Date", "one of Contrail's own columns"),
        ("_ROW", "one of Contrail's own columns"),
    ],
)
def test_a_column_that_cannot_be_kept_is_refused(name: str, words: str) -> None:
    assert words in str(names.column_problem(name))


@pytest.mark.parametrize(("name", "words"), [("_id", "underscore"), ("Probability", "Contrail's own")])
def test_a_key_must_also_fit_the_analysts_tables(name: str, words: str) -> None:
    assert names.column_problem(name) is None
    assert words in str(names.key_problem(name))


def test_names_that_an_engine_takes_for_one_are_found() -> None:
    assert list(names.same_but_for_case(["a", "B", "b", "ä", "Ä", "a\u0308"])) == [
        ("b", "B"),
        ("Ä", "ä"),
        ("a\u0308", "ä"),
    ]

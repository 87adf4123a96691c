"""Names: what is reserved is exactly what Contrail adds to tables of its own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from contrail.config import names
from contrail.config.spec import load_spec
from contrail.lake import datasets, lease, records

CHECKOUT = Path(__file__).resolve().parents[3]
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


# ---- names of pipelines, and the places where folders of that name lie ----


def texts(value: Any) -> Iterator[str]:
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(each)
    if isinstance(value, str):
        yield value


def addresses() -> set[tuple[str, str]]:
    """Each place that an environment's file names: its bucket or home, and the folder there."""
    files = (CHECKOUT / "include" / "environments").glob("*.yaml")
    found = [text for file in files for text in texts(yaml.safe_load(file.read_text()))]
    return {place for text in found for place in re.findall(r"{(\w+_bucket|home)}/?([\w./-]*)", text)}


def deleted_by_age() -> list[tuple[str, str]]:
    """Bucket and prefix of every rule that deletes what is current, as terraform's own test has all of them."""
    test = (CHECKOUT / "terraform" / "tests" / "root.tftest.hcl").read_text()
    rules = re.findall(r'"(\w+): (\S+) after \d+ days"', test)
    assert rules
    return [(f"{bucket}_bucket", "" if prefix == "everything" else prefix) for bucket, prefix in rules]


def airflows_own() -> list[str]:
    """The folders of the artifacts where no job may write."""
    found = re.search(r"airflows_own = \[(.+)\]", (CHECKOUT / "terraform" / "main.tf").read_text())
    assert found
    return re.findall(r'"([^"]+)"', found[1])


def named(folder: str) -> list[str]:
    return [part for part in folder.split("/") if re.fullmatch(names._PIPELINE, part)]


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            *(part for _, folder in addresses() for part in named(folder)[:1]),
            *(part for folder in airflows_own() for part in named(folder)),
            *(lease.NAMESPACE, "contrail", "contrail_analysts", "information_schema"),
        }
    ),
)
def test_no_pipeline_has_the_name_of_a_place_that_is_shared(name: str) -> None:
    said = names.pipeline_problem(name)
    assert said and "is reserved" in said


@pytest.mark.parametrize("name", ["flight_delay", "staging_costs", "stage", "lakes", "contrailer"])
def test_other_names_are_free(name: str) -> None:
    assert names.pipeline_problem(name) is None


PREFIXES = sorted({part for _, prefix in deleted_by_age() for part in named(prefix)} | {"staging", "code", "costs"})


@given(
    st.one_of(st.sampled_from(PREFIXES), st.from_regex(names._PIPELINE, fullmatch=True).filter(lambda n: len(n) < 41))
)
def test_nothing_that_lasts_of_any_pipeline_is_deleted_by_age_or_kept_from_its_jobs(name: str) -> None:
    assume(names.pipeline_problem(name) is None)
    temporary = {("scratch_bucket", "staging"), ("scratch_bucket", "")}
    lasting = [(bucket, folder) for bucket, folder in addresses() - temporary if bucket != "home"]
    assert {bucket for bucket, _ in lasting} == {"landing_bucket", "lake_bucket", "artifacts_bucket"}
    for bucket, folder in lasting:
        path = f"{folder}/{name}/x".removeprefix("/")
        assert not [rule for rule in deleted_by_age() if rule[0] == bucket and path.startswith(rule[1])], path
        assert not [own for own in airflows_own() if path.startswith(own)], path


@pytest.mark.parametrize(
    "name",
    ["", "../x", "A", "Deeper", "a b", "a__b", "_a", "a_", "1a", "a/b", "a.b", "ä", "a" * 31, "main", "sandbox", "sandboxes",
     "default", "staging", "contrail", "contrail_x", "sandbox_a", "flight_delay"],
)  # fmt: skip
def test_a_sandbox_has_no_such_name(name: str) -> None:
    assert names.sandbox_problem(name, ["flight_delay"])


@given(st.from_regex(names._PIPELINE, fullmatch=True), st.from_regex(names._NAME, fullmatch=True))
def test_a_sandboxs_names_are_told_from_every_pipelines(sandbox: str, name: str) -> None:
    assume(names.sandbox_problem(sandbox, []) is None)
    stored = names.in_sandbox(sandbox, name)
    assert names.of_sandbox(stored) == (sandbox, name)
    assert names.without_sandbox(stored) == name
    assert names.pipeline_problem(stored)
    assert names.of_sandbox(name) is None or names.pipeline_problem(name)

"""docs/tables.md has every column of the shipped pipelines, with its meaning."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.make_tables import PAGE, PIPELINES, alike, page
from tests.conftest import Toy

from contrail.cli.help import EXAMPLES
from contrail.config.pipeline import load_pipeline
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import Dataset
from contrail.lake.records import publications
from contrail.lake.sql import shown


@pytest.fixture
def specs(home: Path) -> list[PipelineSpec]:
    """Of the pipelines that are shipped."""
    return [load_pipeline(name).spec for name in PIPELINES]


def tables(specs: list[PipelineSpec]) -> Iterator[tuple[str, Dataset]]:
    for spec in specs:
        for dataset in (*shown(spec).values(), publications(spec)):
            yield spec.name, dataset


def test_the_page_is_up_to_date(specs: list[PipelineSpec]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(specs), "run: python docs/make_tables.py"


def test_every_shipped_pipeline_is_on_the_page(home: Path) -> None:
    assert set(PIPELINES) == {
        path.parent.name for path in (PAGE.parents[1] / "include/pipelines").glob("*/pipeline.yaml")
    }


def test_every_table_and_column_has_a_meaning(specs: list[PipelineSpec]) -> None:
    lacking = [
        f"{pipeline}: {dataset.name}.{name}"
        for pipeline, dataset in tables(specs)
        for name, words in {"": dataset.doc, **{name: column.doc for name, column in dataset.columns.items()}}.items()
        if len(words) < 4 or not words.endswith(".")
    ]
    assert not lacking


def test_every_table_has_a_section_and_commands_that_publish_it(specs: list[PipelineSpec]) -> None:
    headings = {
        line.split("`")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("### `")
    }
    assert headings == {dataset.name for _, dataset in tables(specs)}
    assert all(dataset.published_by and {*dataset.published_by} <= {*EXAMPLES} for _, dataset in tables(specs))


def test_what_is_said_once_for_every_pipeline_is_the_same_in_each(specs: list[PipelineSpec]) -> None:
    assert all(alike(spec) == alike(specs[0]) for spec in specs)


def test_personal_columns_are_marked(toy: Toy) -> None:
    parcels = toy.spec.tables["parcels"]
    weight = parcels.columns["weight"].model_copy(update={"personal": True})
    marked = parcels.model_copy(update={"columns": {**parcels.columns, "weight": weight}})
    spec = toy.spec.model_copy(update={"tables": {**toy.spec.tables, "parcels": marked}})
    personal = {
        f"{dataset.name}.{name}"
        for dataset in shown(spec).values()
        for name, column in dataset.columns.items()
        if column.personal
    }
    assert {"raw_parcels.weight", "validated_parcels.weight"} <= personal
    assert "| `weight` | float, may be null, personal |" in page([spec])
    assert "No column of this pipeline is personal" not in page([spec])

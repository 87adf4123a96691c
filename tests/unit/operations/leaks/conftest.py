"""The toy pipeline with all that a check of leaks reads, and shortcuts to spoil it."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from tests.conftest import Prepare, Toy
from tests.pipelines.toy.source import DEPOTS
from tests.toy_tables import rows_of

from contrail.lake import datasets
from contrail.lake.provenance import Provenance
from contrail.operations.leaks.check import check_leaks
from contrail.operations.leaks.findings import Leaks
from contrail.partitions import Partitions

CHECKED = Partitions.parse("2024-01-10", "2024-01-30")
BY_HAND = Provenance(run_id="by-hand", stage="test", pipeline_hash="", code_revision="", lock_hash="")


def publish(toy: Toy, table: str, rows: pd.DataFrame, partitions: Partitions | None) -> None:
    """Publish validated rows of the toy by hand."""
    dataset = datasets.validated(toy.spec, table)
    staged = pa.Table.from_pandas(rows[list(dataset.columns)], preserve_index=False)
    toy.lake.publish(dataset, staged, partitions, BY_HAND)


def validated(toy: Toy) -> None:
    days = Partitions.parse("2024-01-01", "2024-02-01")
    rows = rows_of(days)
    publish(toy, "parcels", rows.assign(visible_from=rows["ship_date"]), days)
    publish(toy, "deliveries", rows, days)
    publish(toy, "depots", DEPOTS, None)


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(validated)


@pytest.fixture
def changed(filled: Toy, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], Toy]:
    """Let the toy's features be changed by a function of what it builds, its tables and its window."""

    def change(by: Callable[..., Any]) -> Toy:
        module = filled.pipeline.module("features")
        build = module.build
        monkeypatch.setattr(module, "build", lambda tables, window: by(build(tables, window), tables, window))
        return filled

    return change


def check(toy: Toy, partitions: Partitions = CHECKED, **options: Any) -> Leaks:
    return check_leaks(toy.pipeline, toy.lake, partitions, **options)

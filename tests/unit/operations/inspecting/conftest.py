"""The toy pipeline with planted features: a useless one, and one that says the same as another."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.conftest import Prepare, Toy
from tests.pipelines.toy.source import DEPOTS
from tests.toy_tables import copy_empty_registry, rows_of, skip_what_only_train_needs
from tests.unit.operations.leaks.conftest import publish

from contrail.adapters import data_versions
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.operations.inspecting.build_costs import BuildCosts, GroupCost
from contrail.partitions import Partitions

FIRST, TRAINED, LAST = "2024-01-01", "2024-02-05", "2024-03-10"
GATE = ("2024-02-11", "2024-03-09")
TWIN, NOISE = "weight_in_grams", "noise"
OF_THE_ROW = ("depot", "weight", "distance", TWIN)
COSTS = BuildCosts(
    day=date(2024, 3, 9), repeats=3, unit="processor seconds", whole_seconds=2.0, none_seconds=0.4, noise_seconds=0.02,
    groups=tuple(
        GroupCost(name=name, features=features, seconds=seconds, least_seconds=seconds - 0.05, most_seconds=seconds + 0.1)
        for name, features, seconds in (
            ("depot", ("late_rate_7d",), 1.5), ("parcel", (NOISE,), 0.25), ("the row itself", OF_THE_ROW, 0.1),
        )
    ),
)  # fmt: skip


def planted_rows(days: Partitions) -> pd.DataFrame:
    rows = rows_of(days)
    noise = np.random.default_rng(7).normal(size=len(rows))
    return rows.assign(**{TWIN: rows["weight"] * 1000, NOISE: noise})


def with_planted(spec: PipelineSpec, **changes: Any) -> PipelineSpec:
    columns = {**spec.features.columns}
    kind = type(columns["weight"])
    columns |= {TWIN: kind(doc="Grams."), NOISE: kind(doc="Nothing.")}
    return spec.model_copy(update={"features": spec.features.model_copy(update={"columns": columns}), **changes})


@pytest.fixture
def planted_spec(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The spec with the planted features; a test may change more of it."""
    from contrail.config import pipeline

    load, changes = pipeline.load_spec, dict[str, Any]()
    monkeypatch.setattr(pipeline, "load_spec", lambda *given, **how: with_planted(load(*given, **how), **changes))
    return changes.update


def trained(toy: Toy) -> None:
    """Trained on January and promoted; labelled to 9 March."""
    days = Partitions.parse(FIRST, LAST)
    rows = planted_rows(days)
    publish(toy, "parcels", rows.assign(visible_from=rows["ship_date"]), days)
    publish(toy, "deliveries", rows, days)
    publish(toy, "depots", DEPOTS, None)
    publish_features(toy, rows, days)
    copy_empty_registry(settings())
    toy.run("train", FIRST, TRAINED, params={"nthread": 1})
    toy.run("promote", *GATE)


def publish_features(toy: Toy, rows: pd.DataFrame, days: Partitions) -> None:
    import pyarrow as pa
    from tests.unit.operations.leaks.conftest import BY_HAND

    dataset = datasets.features(toy.spec)
    staged = pa.Table.from_pandas(rows[list(dataset.columns)], preserve_index=False)
    toy.lake.publish(dataset, staged, days, BY_HAND)


@pytest.fixture
def inspected(planted_spec: Any, prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The home with a champion. What a build costs is known, and the training set lies where the training wrote it."""
    skip_what_only_train_needs(monkeypatch)
    toy = prepared(trained)

    def fetch(_: Any, md5: str, path: Path) -> Path:
        return Path(shutil.copy(next((toy.settings.home_path / "training_sets" / "toy").glob("*/rows.parquet")), path))

    monkeypatch.setattr(data_versions, "fetch", fetch)
    monkeypatch.setattr("contrail.operations.inspect_features.build_costs", lambda *_: COSTS)
    toy.pipeline = load_pipeline("toy")
    return toy

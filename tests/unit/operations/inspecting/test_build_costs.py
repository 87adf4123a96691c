"""What building groups of features costs: which features a group makes, and that nothing is published."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from pyspark.sql import functions as F
from tests.conftest import Prepare, Toy
from tests.unit.operations.leaks.conftest import validated

from contrail.api import Described, describe, of_day
from contrail.methods.feature_groups import Group
from contrail.operations.inspecting.build_costs import OF_THE_ROW, Built, build_costs, costs_of

DAY = date(2024, 1, 20)
ONE, OTHER = Group(("depot",), ("a",)), Group((), ("b",))


class Planned(Built):
    """Builds whose seconds and values are planned: a comes from one group, b from another, both from two, own from none."""

    def __init__(self) -> None: ...

    def groups(self) -> tuple[Group, ...]:
        return ONE, OTHER

    def build(self, left_out: Collection[Group], columns: Collection[str]) -> tuple[float, Mapping[str, int]]:
        there = {group for group in (ONE, OTHER) if group not in left_out}
        seconds = 1.0 + 5.0 * (ONE in there) + 0.5 * (OTHER in there) - 0.75 * (not columns)
        made = {"a": ONE in there, "b": OTHER in there, "both": there == {ONE, OTHER}, "own": 7}
        return seconds, {name: int(made[name]) for name in columns}


def test_seconds_are_those_of_a_group_and_a_feature_of_two_costs_both():
    names = ("a", "b", "both", "own")
    found = costs_of(names, DAY, Planned(), lambda _: None, 3, "seconds")
    assert {one.name: (one.features, one.seconds) for one in found.groups} == {
        "depot": (("a", "both"), 5.0),
        "the whole day": (("b", "both"), 0.5),
        OF_THE_ROW: (("own",), 0.75),
    }
    assert (found.whole_seconds, found.none_seconds, found.noise_seconds) == (6.5, 1.0, 0.0)
    assert {name: found.seconds(name) for name in names} == {"a": 5.0, "b": 0.5, "both": 5.5, "own": 0.75}


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(validated)


def test_a_pipeline_is_built_group_by_group_and_nothing_is_published(filled, monkeypatch):
    module = filled.pipeline.module("features")
    build = module.build
    columns = {**filled.spec.features.columns}
    wider = columns | {"of_day": columns["weight"], "planted": columns["weight"], "all_parcels": columns["weight"]}
    spec = filled.spec.model_copy(update={"features": filled.spec.features.model_copy(update={"columns": wider})})
    pipeline = replace(filled.pipeline, spec=spec)

    def more(tables: Any, window: Any) -> Any:
        rows = build(tables, window)
        planted = rows.groupBy("partition_date", "depot").agg(F.max("weight").alias("planted"))
        part = of_day(rows, by=["depot"], means={"day": F.col("weight")}, prefix="of")
        whole = of_day(rows, by=[], count="parcels", prefix="all")
        return describe(rows, part, Described(planted, by=("depot",)), whole)

    monkeypatch.setattr(module, "build", more)
    before = {name: filled.lake.snapshot_id(name) for name in filled.lake.table_names()}
    found = build_costs(pipeline, filled.lake, DAY, lambda _: None)
    assert {one.name: one.features for one in found.groups if one.name == OF_THE_ROW} == {
        OF_THE_ROW: ("depot", "weight", "distance")
    }
    groups = {one.name: one.features for one in found.groups if one.name.startswith("depot")}
    assert groups == {
        "depot: depot_rows_7d …": ("late_rate_7d",),
        "depot: of_day …": ("of_day",),
        "depot: planted …": ("planted",),
    }
    whole = [one.features for one in found.groups if one.name == "the whole day"]
    assert whole == [("all_parcels",)], "although all rows, an even number, have the same value"
    assert found.unit == "processor seconds"
    assert found.whole_seconds > 0
    assert {name: filled.lake.snapshot_id(name) for name in filled.lake.table_names()} == before
    left = list((filled.settings.staging / "toy").glob("inspect-features-*"))
    assert left == []

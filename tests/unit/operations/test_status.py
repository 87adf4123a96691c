"""The board of partitions × stages, computed from what the tables say about themselves."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from contrail.config.spec import PipelineSpec, load_spec
from contrail.lake.readers import PartitionState
from contrail.operations.status import grouped, partition_status
from contrail.partitions import Partitions

TOY = Path(__file__).resolve().parents[2] / "pipelines" / "toy"
DAY = date(2024, 1, 20)
STAGES_OK = dict.fromkeys(("ingest", "validate", "features", "score", "drift", "performance"), "ok")


class FakeLake:
    """Tables as a dict of name → {day: minute of the last change}."""

    def __init__(self, tables: dict[str, dict[date, int]], refused: list[dict[str, Any]] | None = None) -> None:
        self.tables = tables
        self.refused = refused or []

    def exists(self, name: str) -> bool:
        return name in self.tables or (name == "refusals" and bool(self.refused))

    def partitions(self, name: str) -> dict[date, PartitionState]:
        start = datetime(2024, 6, 1, tzinfo=UTC)
        changed = self.tables.get(name, {})
        return {day: PartitionState(1, start + timedelta(minutes=m), 1) for day, m in changed.items()}

    def scan(self, name: str, columns: list[str]) -> pa.Table:
        return pa.Table.from_pylist(self.refused)


@pytest.fixture
def spec() -> PipelineSpec:
    return load_spec(TOY / "pipeline.yaml")


@pytest.fixture
def tables() -> dict[str, dict[date, int]]:
    """Every stage was run over DAY-9 … DAY+1, one minute after the other."""
    days = [DAY + timedelta(days=i) for i in range(-9, 2)]
    order = [
        ("raw_parcels", 1), ("raw_deliveries", 1), ("validated_parcels", 2), ("validated_deliveries", 2),
        ("features", 3), ("predictions", 4), ("drift", 5), ("performance", 6),
    ]  # fmt: skip
    return {name: dict.fromkeys(days, minute) for name, minute in order}


def states(lake: FakeLake, spec: PipelineSpec, day: date = DAY) -> dict[str, str]:
    (found,) = partition_status(lake, spec, Partitions(day, day))  # type: ignore[arg-type]
    return found.stages


def test_all_done(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    assert states(FakeLake(tables), spec) == STAGES_OK


def test_nothing_done(spec: PipelineSpec) -> None:
    assert states(FakeLake({}), spec) == {**dict.fromkeys(STAGES_OK, "missing"), "performance": "waiting"}


def test_labels_that_are_not_mature_wait(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    assert states(FakeLake(tables), spec, DAY + timedelta(days=1))["performance"] == "waiting"


@pytest.mark.parametrize(("offset", "stale"), [(-8, False), (-7, True), (-1, True), (0, False)])
def test_late_outcomes_make_features_stale_within_the_look_back(
    spec: PipelineSpec, tables: dict[str, dict[date, int]], offset: int, stale: bool
) -> None:
    # The partition's own outcomes are after its cut-off: they do not touch its features.
    tables["validated_deliveries"][DAY + timedelta(days=offset)] = 10
    assert states(FakeLake(tables), spec)["features"] == ("stale" if stale else "ok")


def test_a_new_schedule_makes_its_own_day_stale(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    tables["validated_parcels"][DAY] = 10
    assert states(FakeLake(tables), spec)["features"] == "stale"


def test_each_stage_is_stale_after_its_input(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    tables["raw_parcels"][DAY] = 10
    tables["features"][DAY] = 11
    found = states(FakeLake(tables), spec)
    assert found == {**STAGES_OK, "validate": "stale", "score": "stale", "drift": "stale"}
    tables["predictions"][DAY] = 12
    assert states(FakeLake(tables), spec)["performance"] == "stale"


def test_a_refusal_shows(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    refused = [{"partition_date": DAY, "stage": "validate"}]
    assert states(FakeLake(tables, refused), spec)["validate"] == "refused"


def test_neighbours_with_the_same_states_are_one_range(spec: PipelineSpec, tables: dict[str, dict[date, int]]) -> None:
    found = partition_status(FakeLake(tables), spec, Partitions(DAY, DAY + timedelta(days=3)))  # type: ignore[arg-type]
    assert [str(partitions) for partitions, _ in grouped(found)] == [
        "2024-01-20",
        "2024-01-21",
        "2024-01-22..2024-01-23",
    ]


def test_the_newest_day_waits_for_what_becomes_known_during_it(
    spec: PipelineSpec, tables: dict[str, dict[date, int]]
) -> None:
    newest = DAY + timedelta(days=1)
    for name in ("raw_deliveries", "validated_deliveries"):
        del tables[name][newest]
    found = states(FakeLake(tables), spec, newest)
    assert (found["ingest"], found["validate"], found["score"]) == ("waiting", "waiting", "ok")
    # A hole between days is a fault.
    del tables["raw_deliveries"][DAY - timedelta(days=1)]
    assert states(FakeLake(tables), spec, DAY - timedelta(days=1))["ingest"] == "missing"

"""The board of partitions × stages, computed from what the tables say about themselves."""

import dataclasses
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest

from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.config.settings import Settings, settings
from contrail.lake.lineage import Commit, Lineage
from contrail.lake.provenance import Provenance
from contrail.lake.readers import PartitionState
from contrail.operations.status import grouped, partition_status, reasons, remedy
from contrail.partitions import as_ranges
from contrail.stages.staleness import Staleness

DAY = date(2024, 1, 20)
STAGES_OK = dict.fromkeys(("ingest", "validate", "features", "score", "drift", "performance"), "ok")
_MAKERS = {"features": "features", "predictions": "score", "drift": "drift", "performance": "performance"}


_REFERS = {"validated_parcels": "validated_depots", "validated_deliveries": "validated_parcels"}


def _read(name: str, table: str) -> bool:
    """A validated table is made of its raw one and of that to which its rows refer; the others of anything."""
    return not name.startswith("validated") or table in (name.replace("validated", "raw"), _REFERS.get(name))


class FakeLake:
    """Tables as lists of commits. Each commit read its inputs as they then were."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.commits: dict[str, list[Commit]] = {}
        self.rows: dict[str, dict[date, PartitionState]] = {}
        self.refused: list[dict[str, Any]] = []
        self._number = 0

    @property
    def settings(self) -> Settings:
        return settings()

    def put(self, name: str, days: Iterable[date], empty: bool = False, same: bool = False) -> None:
        """Publish days of a table, as the stage that makes it."""
        days = list(days)
        inputs = {table: commits[-1].snapshot for table, commits in self.commits.items() if _read(name, table)}
        made = Provenance("run", _MAKERS.get(name, "validate"), self.pipeline.hash, "", "", inputs)
        whole = name.endswith(tuple(f"_{table}" for table in self.pipeline.spec.reference_tables))
        parts = None if whole else tuple(as_ranges(days))
        self._number += 1
        self.commits.setdefault(name, []).append(Commit(self._number, parts, 1, made, parts if same else ()))
        published = self.rows.setdefault(name, {})
        for day in days if not empty else ():
            published[day] = PartitionState(1, None, self._number)

    def exists(self, name: str) -> bool:
        return name in self.commits or (name == "refusals" and bool(self.refused))

    def lineage(self, name: str, lost: object = None) -> Lineage:
        return Lineage(tuple(reversed(self.commits.get(name, []))), complete=True)

    def partitions(self, name: str) -> dict[date, PartitionState]:
        return self.rows.get(name, {})

    def scan(self, name: str, columns: list[str]) -> pa.Table:
        return pa.Table.from_pylist(self.refused)


@pytest.fixture
def lake(toy_home: Any) -> FakeLake:
    """Every stage was run over the pipeline's days to DAY+1, one after the other."""
    made = FakeLake(load_pipeline("toy"))
    days = [DAY + timedelta(days=i) for i in range(-19, 2)]
    raw = [f"raw_{table}" for table in made.pipeline.spec.tables]
    validated = [f"validated_{table}" for table in made.pipeline.spec.tables]
    for name in (*raw, *sorted(validated, key=["validated_depots", *_REFERS].index), *_MAKERS):
        made.put(name, days)
    return made


def around(offset: int) -> date:
    return DAY + timedelta(days=offset)


def states(lake: FakeLake, day: date = DAY) -> dict[str, str]:
    (found,) = partition_status(lake, lake.pipeline, day, day)  # type: ignore[arg-type]
    return found.stages


def stale(lake: FakeLake, day: date = DAY) -> set[str]:
    return {stage for stage, state in states(lake, day).items() if state == "stale"}


def test_all_done(lake: FakeLake) -> None:
    assert states(lake) == STAGES_OK


def test_nothing_done(toy_home: Any) -> None:
    found = states(FakeLake(load_pipeline("toy")))
    assert found == {**dict.fromkeys(STAGES_OK, "missing"), "performance": "waiting"}


def test_labels_that_are_not_mature_wait(lake: FakeLake) -> None:
    assert states(lake, around(1))["performance"] == "waiting"


@pytest.mark.parametrize(("offset", "is_stale"), [(-8, False), (-7, True), (-1, True), (0, False)])
def test_late_outcomes_make_features_stale_within_the_look_back(lake: FakeLake, offset: int, is_stale: bool) -> None:
    # The partition's own outcomes are after its cut-off: they do not touch its features.
    lake.put("validated_deliveries", [around(offset)])
    assert ("features" in stale(lake)) == is_stale


def test_a_new_schedule_makes_its_own_day_stale(lake: FakeLake) -> None:
    lake.put("validated_parcels", [DAY])
    assert "features" in stale(lake)


def test_what_follows_something_stale_is_stale_and_each_stage_mends_its_own(lake: FakeLake) -> None:
    lake.put("raw_parcels", [DAY])
    assert stale(lake) == {"validate", "features", "score", "drift", "performance"}
    for name, rest in (
        ("validated_parcels", {"validate", "features", "score", "drift", "performance"}),
        ("validated_deliveries", {"features", "score", "drift", "performance"}),
        ("features", {"score", "drift", "performance"}),
        ("predictions", {"drift", "performance"}),
        ("drift", {"performance"}),
        ("performance", set()),
    ):
        lake.put(name, [DAY])
        assert stale(lake) == rest


def test_equal_contents_make_nothing_stale(lake: FakeLake) -> None:
    for name in ("raw_parcels", "validated_parcels", "validated_depots", "features", "predictions"):
        lake.put(name, [DAY], same=True)
    assert states(lake) == STAGES_OK


def test_a_reference_table_makes_every_day_stale(lake: FakeLake) -> None:
    lake.put("validated_depots", lake.rows["validated_parcels"])
    assert {"validate", "features"} <= stale(lake)


def test_what_has_expired_is_unknown_and_neither_stale_nor_missing(lake: FakeLake) -> None:
    kept = {name: commits[-1:] for name, commits in lake.commits.items()}
    lake.lineage = lambda name, lost=None: Lineage(  # type: ignore[method-assign]
        () if name == "features" else tuple(kept.get(name, ()))
    )
    assert states(lake)["features"] == "unknown"
    assert states(lake)["validate"] == "ok"


def test_a_refusal_shows(lake: FakeLake) -> None:
    lake.refused = [{"partition_date": DAY, "stage": "validate", "table_name": "parcels", "rule": "known_depot"}]
    assert states(lake)["validate"] == "refused"


def test_neighbours_with_the_same_states_are_one_range(lake: FakeLake) -> None:
    found = partition_status(lake, lake.pipeline, DAY, around(3))  # type: ignore[arg-type]
    assert [str(days) for days, _ in grouped(found)] == ["2024-01-20", "2024-01-21", "2024-01-22..2024-01-23"]


def test_the_newest_day_waits_for_what_becomes_known_during_it(lake: FakeLake) -> None:
    newest, hole = around(1), around(-1)
    for name in ("raw_deliveries", "validated_deliveries"):
        del lake.rows[name][newest], lake.rows[name][hole], lake.commits[name]
        for day in list(lake.rows[name]):
            lake.put(name, [day])
    found = states(lake, newest)
    assert (found["ingest"], found["validate"]) == ("waiting", "waiting")
    assert states(lake, hole)["ingest"] == "missing", "a hole between days is a fault"


def test_a_day_without_rows_is_done_when_it_was_validated_so(lake: FakeLake) -> None:
    """No rows is not the same as not validated."""
    empty = around(2)
    spec = lake.pipeline.spec
    tables = {name: table.model_copy(update={"may_be_empty": True}) for name, table in spec.tables.items()}
    lake.pipeline = dataclasses.replace(lake.pipeline, spec=spec.model_copy(update={"tables": tables}))
    assert states(lake, empty)["validate"] == "missing"
    for name in _REFERS:
        lake.put(name, [empty], empty=True)
    assert states(lake, empty)["features"] == "missing"
    lake.put("features", [empty], empty=True)
    assert states(lake, empty) == {**STAGES_OK, "performance": "waiting"}


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [(None, None, 21), (around(0), None, 2), (None, around(-18), 2), (around(0), around(0), 1), (around(5), None, 1)],
)
def test_an_open_range_goes_to_the_ends_of_what_is_known(
    lake: FakeLake, first: date | None, last: date | None, days: int
) -> None:
    spec = lake.pipeline.spec.model_copy(update={"last_partition": None})
    lake.pipeline = dataclasses.replace(lake.pipeline, spec=spec)
    found = partition_status(lake, lake.pipeline, first, last)  # type: ignore[arg-type]
    assert len(found) == days and (first is None or found[0].partition == first)


def test_it_says_why_and_what_to_run(lake: FakeLake) -> None:
    for name in _REFERS:
        lake.put(name, [DAY])
    found = partition_status(lake, lake.pipeline, around(-2), DAY)  # type: ignore[arg-type]
    assert "features 2024-01-20: validated_parcels was published since" in reasons(found)
    assert "score 2024-01-20: features is stale: validated_parcels was published since" in reasons(found)
    assert remedy("toy", found) == (
        "contrail backfill -p toy --from 2024-01-19 --to 2024-01-20 --stages features,score,drift,performance "
        "--model as-of"
    )
    assert remedy("toy", found[:1]) == ""


def test_performance_measured_before_there_was_a_shadow_stays_as_it_is(lake: FakeLake) -> None:
    lake.put("predictions_shadow", [around(1)])
    assert Staleness(lake.pipeline, lake).own("performance", DAY).state == "ok"  # type: ignore[arg-type]
    lake.put("predictions_shadow", [DAY])
    assert Staleness(lake.pipeline, lake).own("performance", DAY).state == "stale"  # type: ignore[arg-type]

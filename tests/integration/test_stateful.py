"""Any order of what people do to a home leaves what a plain model of it says: a dictionary of days, and one of aliases.

``CONTRAIL_TEST_EXAMPLES=500`` makes the runs many, each another one; by default there are a few, always the same.
"""

import os
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import Prepare, Toy
from tests.leftovers import leftovers
from tests.toy_tables import copy_empty_registry, publish_heavier, publish_toy, skip_what_only_train_needs
from tests.unit.lake.shop import ITEMS, provenance, rows
from tests.unit.lake.test_forgotten import marks_of

from contrail.adapters import registry
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError
from contrail.lake import erasure, upkeep
from contrail.lake.forgotten import Columns
from contrail.lake.lake import Lake
from contrail.lake.model_history import read_moves
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.maintain import compact, maintain
from contrail.operations.rollback_model import plan_rollback, roll_back
from contrail.partitions import Partitions
from contrail.stages.changes import AliasChange, Unfinished, changing, unfinished
from contrail.stages.runner import make_run

pytestmark = pytest.mark.slow

MANY = int(os.environ.get("CONTRAIL_TEST_EXAMPLES", "0"))
RETENTION = RetentionSpec(trials=None, data_versions=None)
Rows = dict[date, tuple[str, int]]


def play(machine: Any, examples: int, steps: int) -> None:
    """Run a machine, as often as it is asked for."""
    chosen = hypothesis_settings(
        max_examples=MANY or examples,
        stateful_step_count=steps,
        derandomize=not MANY,
        database=None,
        deadline=None,
        # To find a shorter example takes longer than a test of the suite may.
        phases=[Phase.generate, Phase.shrink] if MANY else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=chosen)


# ---- the snapshots of a table ----

DAYS = [date(2024, 1, 1) + timedelta(days=number) for number in range(4)]
COLOURS = ("red", "blue", "green", "black")
some_days = st.lists(st.sampled_from(DAYS), min_size=1, max_size=3, unique=True).map(sorted)


class TableMachine(RuleBasedStateMachine):
    """A table with few snapshots in its metadata and few in its archive. ``states`` has the rows of each by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        os.environ["CONTRAIL_HOME"] = str(self.folder / "home")
        settings.cache_clear()
        few = settings().model_copy(update={"snapshots_kept": 8})
        self.lake = Lake(few, "shop")
        self.now: Rows = {}
        self.states: dict[int, Rows] = {}
        self.tags: dict[str, int] = {}
        self.forgotten: set[str] = set()
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def _after(self, snapshot: int, state: Rows) -> None:
        self.now = {day: own for day, own in state.items() if own[1]}
        self.states[snapshot] = dict(self.now)

    @initialize()
    def first(self) -> None:
        self.publish(DAYS, "red", 2, False)

    @rule(days=some_days, colour=st.sampled_from(COLOURS), count=st.integers(0, 3), each=st.booleans())
    def publish(self, days: list[date], colour: str, count: int, each: bool) -> None:
        if colour in self.forgotten:
            return  # the stages refuse such rows; the record of that is no part of this table
        self.number += 1
        made_by = provenance(f"run-{self.number}")
        known = {entry.snapshot for entry in self.lake.history("items")} if self.lake.exists("items") else set()
        snapshot = self.lake.publish(ITEMS, rows(days, colour, count), days, made_by, each_partition=each)
        state = self.now | dict.fromkeys(days, (colour, count))
        new = [one for one in self.lake.history("items") if one.snapshot not in known][::-1]
        for number, entry in enumerate(new[:-1], start=1):
            self._after(entry.snapshot, self.now | dict.fromkeys(days[:number], (colour, count)))
        self._after(snapshot, state)

    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from([entry.snapshot for entry in self.lake.history("items")]))
        self.lake.rollback("items", target)
        self._after(self.lake.snapshot_id("items") or 0, self.states[target])

    @rule(data=st.data(), name=st.sampled_from(["a", "b"]))
    def tag(self, data: st.DataObject, name: str) -> None:
        if name in self.tags:
            self.lake.untag("items", name)
            del self.tags[name]
        else:
            self.tags[name] = data.draw(st.sampled_from([entry.snapshot for entry in self.lake.history("items")]))
            self.lake.tag("items", self.tags[name], name)
        self.states.setdefault(self.lake.snapshot_id("items") or 0, self.now)

    @rule(colour=st.sampled_from(COLOURS))
    def forget(self, colour: str) -> None:
        self.forgotten.add(colour)
        rule_ = erasure.Rule(marks_of(Columns.of({"colour": "string"}), colour))
        erasure.erase(self.lake, "items", rule_, provenance("forget"), timedelta(0))
        left = {entry.snapshot for entry in self.lake.history("items")}
        self.tags = {name: snapshot for name, snapshot in self.tags.items() if snapshot in left}
        state = {day: own for day, own in self.now.items() if own[0] != colour}
        for snapshot in left - self.states.keys():
            self._after(snapshot, state)
        self.now = state

    @rule(grace=st.sampled_from([timedelta(0), timedelta(days=3)]))
    def maintain(self, grace: timedelta) -> None:
        list(compact(self.lake))
        list(maintain(self.lake, RETENTION, grace))
        if not grace:
            assert leftovers(self.lake.table("items")) == set()

    @precondition(lambda self: self.lake.exists("items"))
    @invariant()
    def every_reader_sees_the_model(self) -> None:
        assert self._read(None) == self.now
        lake = Lake(self.lake.settings, "shop")
        with lake.connect(["items"]) as connection:
            asked = "SELECT partition_date, min(colour), count(*) FROM items GROUP BY 1"
            found = {day: (colour, count) for day, colour, count in connection.execute(asked).fetchall()}
        assert found == self.now
        assert {day: one.rows for day, one in lake.partitions("items").items() if one.rows} == {
            day: count for day, (_, count) in self.now.items()
        }

    @precondition(lambda self: self.lake.exists("items"))
    @invariant()
    def its_history_is_readable(self) -> None:
        entries = self.lake.history("items")
        ids = [entry.snapshot for entry in entries]
        assert len(set(ids)) == len(ids)
        assert [entry.snapshot for entry in entries if entry.current] == [self.lake.snapshot_id("items")]
        for snapshot in ids:
            assert self._read(snapshot) == self.states[snapshot]
        assert {tag: entry.snapshot for entry in entries for tag in entry.tags} == self.tags
        assert self.lake.verify("items").damages == ()

    def _read(self, snapshot: int | None) -> Rows:
        found: Rows = {}
        for row in self.lake.scan("items", snapshot_id=snapshot).to_pylist():
            colour, count = found.get(row["partition_date"], (row["colour"], 0))
            assert colour == row["colour"], "rows of two publications"
            found[row["partition_date"]] = (colour, count + 1)
        return found


@pytest.mark.usefixtures("home")
def test_the_snapshots_of_a_table_are_as_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 3)
    play(TableMachine, examples=6, steps=12)


# ---- champions and what they scored ----

SCORED = Partitions.parse("2024-02-10", "2024-02-13")
VERSIONS = ("1", "2")


def two_versions(toy: Toy) -> None:
    """Two versions, of which none is champion; features to the middle of February."""
    publish_toy(toy, "2024-01-01", "2024-02-15")
    copy_empty_registry(settings())
    for depth in (2, 4):
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1, "max_depth": depth})


class ModelMachine(RuleBasedStateMachine):
    """Champions and predictions. ``scored`` has the version of each day's rows, ``moves`` each champion in turn."""

    prepare: ClassVar[Prepare]

    def __init__(self) -> None:
        super().__init__()
        self.toy = type(self).prepare(two_versions)
        self.champion: str | None = None
        self.moves: list[str] = []
        self.scored: dict[date, str] = {}
        self.number = 0

    @initialize()
    def every_day_is_scored(self) -> None:
        self.promote("1")
        self.toy.run("score", str(SCORED.start), str(SCORED.end))
        self.scored = dict.fromkeys(SCORED, "1")
        self.promote("2")
        self.score(SCORED.end, "champion")
        self.rollback_model(True)

    @rule(version=st.sampled_from(VERSIONS))
    def promote(self, version: str) -> None:
        run = make_run("promote", "toy", SCORED)
        with changing(run, "eve") as held:
            entry = registry.describe_version(run.settings, "toy", version)
            held.apply(AliasChange(entry, ["champion"], SCORED.start, "better"), "eve")
        self._moved(version)

    def _moved(self, version: str) -> None:
        if version != self.champion:
            self.moves.append(version)
        self.champion = version

    @rule(day=st.sampled_from([*SCORED]), model=st.sampled_from(["champion", *VERSIONS]))
    def score(self, day: date, model: str) -> None:
        self.toy.run("score", str(day), model=model)
        self.scored[day] = str(self.champion) if model == "champion" else model

    @rule(first=st.integers(0, 2), length=st.integers(1, 2), model=st.sampled_from(VERSIONS))
    def backfill(self, first: int, length: int, model: str) -> None:
        self.number += 1
        days = Partitions(SCORED.start + timedelta(first), SCORED.start + timedelta(first + length - 1))
        backfills = Backfills(self.toy.pipeline, self.toy.settings, self.toy.lake)
        plan = backfills.plan(Request(days, ("score",), model, "chunk", 1))
        record = backfills.open(plan, f"b{self.number}")
        backfills.run(plan, record)
        done = backfills.finish(record)
        assert (done.state, backfills.record(record.id).state) == ("done", "done")
        self.scored |= dict.fromkeys(days, model)

    @rule(other=st.sampled_from([True, True, True, False]))
    def rollback_model(self, other: bool) -> None:
        to = next(version for version in VERSIONS if (version != self.champion) == other)
        try:
            plan = plan_rollback(self.toy.pipeline, self.toy.lake, to)
        except (DataError, MissingInputError):
            assert to == self.champion, "the champion alone cannot be gone back to"
            return
        roll_back(plan, person="eve", reason="wrong")
        self._moved(to)
        self.scored = {day: to if version == plan.bad else version for day, version in self.scored.items()}

    @rule(day=st.sampled_from([*SCORED]))
    def correct(self, day: date) -> None:
        """Features of a day become others. What was scored from the old ones stays until somebody scores it again."""
        publish_heavier(self.toy, str(day))

    @rule(grace=st.sampled_from([timedelta(0), timedelta(days=3)]))
    def maintain(self, grace: timedelta) -> None:
        list(maintain(self.toy.lake, RETENTION, grace))

    @invariant()
    def the_home_is_as_the_model_says(self) -> None:
        assert registry.alias_version(self.toy.settings, "toy", "champion") == self.champion
        assert [move.version_after for move in read_moves(self.toy.lake, "champion")] == self.moves
        assert unfinished(self.toy.settings, "toy") == Unfinished()
        status = {one.version: one.tags.get("status") for one in registry.versions(self.toy.settings, "toy")}
        assert [version for version, own in status.items() if own == "champion"] == (
            [self.champion] if self.champion else []
        )
        if self.scored:
            found = self.toy.sql(
                "SELECT partition_date, min(model_version), max(model_version), count(DISTINCT scoring_run), count(*) "
                "FROM predictions GROUP BY 1"
            )
            assert {day: own for day, *own in found} == {
                day: [version, version, 1, 60] for day, version in self.scored.items()
            }


def test_champions_and_predictions_are_as_the_model_says(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_what_only_train_needs(monkeypatch)
    monkeypatch.setattr(ModelMachine, "prepare", staticmethod(prepared), raising=False)
    play(ModelMachine, examples=3, steps=6)

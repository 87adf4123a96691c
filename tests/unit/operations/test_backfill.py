"""Backfills: their jobs, their record, and that an interrupted one continues where it stopped."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
from tests.toy_tables import copy_empty_registry, publish_toy, record_champion, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.lake import datasets, history, publisher
from contrail.lake.provenance import LEDGER, PARTITIONS
from contrail.operations import backfill
from contrail.operations.backfill import Backfills
from contrail.operations.backfill_request import Request
from contrail.operations.maintain import maintain
from contrail.partitions import Partitions

DAY = "2024-02-14"
DAYS = Partitions.parse("2024-02-10", "2024-02-14")
SCORES = "SELECT * EXCLUDE (scoring_run, scored_at, feature_snapshot) FROM predictions ORDER BY partition_date, parcel"


def two_versions(toy) -> None:
    """The first is champion; there are features to 15 February."""
    publish_toy(toy, "2024-01-01", "2024-02-15")
    copy_empty_registry(settings())
    for depth in (3, 5):
        toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1, "max_depth": depth})
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "1"), "champion")


@pytest.fixture
def ready(prepared, monkeypatch):
    skip_what_only_train_needs(monkeypatch)
    return prepared(two_versions)


@pytest.fixture
def backfills(ready) -> Backfills:
    return Backfills(ready.pipeline, ready.settings, ready.lake)


def request(**asked: Any) -> Request:
    return Request(**{"partitions": DAYS, "stages": ("score",), "commits": "chunk", "chunk_days": 2, **asked})


def run(backfills: Backfills, asked: Request, backfill_id: str | None = None):
    plan = backfills.plan(asked)
    record = backfills.open(plan, backfill_id)
    return record, backfills.run(plan, record)


def commits(toy) -> list[str]:
    return [entry.commit.label for entry in reversed(toy.lake.history("predictions"))]


@pytest.mark.parametrize(
    ("asked", "published"),
    [
        ({"commits": "whole", "chunk_days": None}, ["2024-02-10..2024-02-14"]),
        ({}, ["2024-02-10..2024-02-11", "2024-02-12..2024-02-13", "2024-02-14"]),
        ({"commits": "partition", "chunk_days": 3}, [str(day) for day in DAYS]),
    ],
)
def test_how_it_publishes_changes_the_commits_and_not_the_rows(ready, backfills, asked, published):
    ready.run("score", str(DAYS.start), str(DAYS.end), model="2")
    expected = ready.sql(SCORES)
    run(backfills, request(model="2", **asked))
    assert len(commits(ready)) == 1, "it holds exactly this"
    run(backfills, request(**asked))
    run(backfills, request(model="2", **asked))
    assert commits(ready)[-len(published) :] == published
    assert ready.sql(SCORES) == expected


def test_a_stage_of_the_whole_range_runs_too(ready, backfills):
    _, results = run(backfills, request(stages=("score", "performance")))
    assert [result.stage for result in results] == ["score"] * 3 + ["performance"]
    assert ready.sql("SELECT count(*) FROM performance") == [(5,)]


def test_the_model_stays_the_one_of_the_plan(ready, backfills):
    asked = request()
    plan = backfills.plan(asked)
    registry.set_alias(settings(), registry.describe_version(settings(), "toy", "2"), "champion")
    backfills.run(plan, backfills.open(plan))
    assert ready.sql("SELECT DISTINCT model_version FROM predictions") == [("1",)]


def test_drift_measures_each_part_against_its_own_champion(ready, backfills, monkeypatch):
    for version, first in (("1", "2024-02-01"), ("2", "2024-02-12")):
        record_champion(ready, version, date.fromisoformat(first))
    seen = []
    monkeypatch.setattr(
        backfill, "run_stage", lambda verb, _, days, options, **__: seen.append((str(days), options.model))
    )
    run(backfills, request(stages=("drift",), model="as-of"))
    assert seen == [("2024-02-10..2024-02-11", "1"), ("2024-02-12..2024-02-14", "2")]


def test_the_provenance_names_the_backfill(ready, backfills):
    record, results = run(backfills, request())
    entry = ready.lake.history("predictions")[0]
    assert entry.provenance.extra["backfill"] == record.id
    assert entry.provenance.run_id == results[-1].run_id


# ---- interrupted ----


class Killed(BaseException):
    """What stops a job without a chance to clean up."""


def interrupt(backfills: Backfills, asked: Request, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it, and stop it before job number ``after + 1``."""
    run_stage, done = backfill.run_stage, []

    def stop(*arguments: Any, **options: Any) -> Any:
        if len(done) == after:
            raise Killed
        done.append(run_stage(*arguments, **options))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(backfill, "run_stage", stop)
        with pytest.raises(Killed):
            run(backfills, asked)


def test_one_that_was_interrupted_goes_on_and_compares_with_what_was_there_before_it(ready, backfills, monkeypatch):
    run(backfills, request(model="2"))
    backfills.finish(backfills.record(next(backfills.folder.glob("*.json")).stem))
    before = ready.lake.snapshot_id("predictions")
    interrupt(backfills, request(), 1, monkeypatch)
    (opened,) = (r for r in map(backfills.record, _ids(backfills)) if r.state == "running")
    lines: list[str] = []
    plan = backfills.plan(request())
    assert backfills.interrupted(plan)
    record = backfills.open(plan, progress=lines.append)
    assert record.id == opened.id
    assert record.before["predictions"] == before
    assert lines == [f"continuing backfill {opened.id}, which began at {opened.started_at} and did not end"]
    assert [result.partitions for result in backfills.run(plan, record)] == ["2024-02-12..2024-02-13", "2024-02-14"]
    total = backfills.finish(record).difference.predictions.total
    assert (total.versions_before, total.versions_after, total.changed) == ("2", "1", 300)
    assert not backfills.interrupted(plan)


def _ids(backfills: Backfills) -> list[str]:
    return [path.stem for path in backfills.folder.glob("*.json")]


def test_killed_after_its_last_job_it_still_makes_the_report(ready, backfills):
    record, _ = run(backfills, request())
    plan = backfills.plan(request())
    assert plan.nothing_to_do
    assert backfills.interrupted(plan)
    assert backfills.open(plan).id == record.id


@pytest.mark.parametrize("other", [{"model": "2"}, {"partitions": DAYS.shift(1)}, {"stages": ("features", "score")}])
def test_another_request_does_not_go_on_with_it(backfills, monkeypatch, other):
    interrupt(backfills, request(), 1, monkeypatch)
    assert not backfills.interrupted(backfills.plan(request(**other)))
    assert backfills.interrupted(backfills.plan(request(commits="whole", chunk_days=None)))


def test_what_its_difference_compares_does_not_expire(ready, backfills):
    ready.run("score", str(DAYS.start), str(DAYS.end), model="2")
    before = ready.lake.snapshot_id("predictions")
    few = ready.settings.model_copy(update={"snapshots_kept": 2})
    backfills = Backfills(ready.pipeline, few, ready.lake)
    record, _ = run(backfills, request())
    ready.lake.settings = few
    for _ in range(3):
        ready.lake.publish(*_again(ready))
    entries = {entry.snapshot: entry.tags for entry in ready.lake.history("predictions")}
    assert entries[before] == (f"before-{record.id}",)
    done = backfills.finish(record)
    assert done.difference.predictions.total.versions_before == "2"
    for _ in range(3):
        ready.lake.publish(*_again(ready))
    tags = {tag: entry.snapshot for entry in ready.lake.history("predictions") for tag in entry.tags}
    compared = done.difference.predictions
    assert tags == {f"before-{record.id}": compared.before, f"after-{record.id}": compared.after}
    assert ready.lake.scan("predictions", snapshot_id=compared.before).num_rows
    kept = RetentionSpec(trials=None, data_versions=None, differences=7)
    list(maintain(ready.lake, kept, timedelta(0)))
    assert {tag for entry in ready.lake.history("predictions") for tag in entry.tags} == set(tags), "it is of today"
    old = done.model_copy(update={"finished_at": "2024-01-01T00:00:00+00:00"})
    backfills._write(old)
    list(maintain(ready.lake, RetentionSpec(trials=None, data_versions=None), timedelta(0)))
    assert {tag for entry in ready.lake.history("predictions") for tag in entry.tags} == set(tags), (
        "for ever, by default"
    )
    list(maintain(ready.lake, kept, timedelta(0)))
    assert all(entry.tags == () for entry in ready.lake.history("predictions"))


def take_out(toy, snapshot: int | None) -> None:
    """As the rows of a person are taken out: a snapshot goes, whoever has named it."""
    table = toy.lake.table("predictions")
    summary = {PARTITIONS: "", LEDGER: history.ledger_of(table, 99)}
    publisher.swap(table, [], [], summary, expired=[snapshot])


def test_it_ends_although_what_was_there_before_it_is_gone(ready, backfills):
    ready.run("score", str(DAYS.start), str(DAYS.end), model="2")
    record, _ = run(backfills, request())
    take_out(ready, record.before["predictions"])
    done = backfills.finish(record)
    assert (done.state, done.difference.predictions) == ("done", None)
    assert done.difference.as_dict()["gone"] == ["predictions"]
    page = backfills.folder.joinpath(f"{record.id}.html").read_text()
    assert record.id in page
    assert "predictions: not compared, because the lake does not have its snapshot from before any more." in page
    assert "made neither features nor predictions" not in page


def test_it_compares_again_when_what_it_compares_goes_meanwhile(ready, backfills, monkeypatch):
    ready.run("score", str(DAYS.start), str(DAYS.end), model="2")
    record, _ = run(backfills, request())
    keep = Backfills._keep

    def later(self, current, tag):
        monkeypatch.setattr(Backfills, "_keep", keep)
        take_out(ready, current["predictions"])
        keep(self, current, tag)

    monkeypatch.setattr(Backfills, "_keep", later)
    done = backfills.finish(record)
    assert done.difference.predictions.after == ready.lake.snapshot_id("predictions")
    assert done.difference.predictions.total.versions_before == "2"


def _again(toy) -> tuple[Any, ...]:
    rows = toy.lake.scan("predictions", Partitions.parse(DAY))
    return datasets.predictions(toy.spec), rows, Partitions.parse(DAY), toy.stage_run("score", DAY).provenance({})


# ---- parts of one ----


def test_commands_with_one_id_are_parts_of_one_backfill(ready, backfills):
    ready.run("score", str(DAYS.start), str(DAYS.end), model="2")
    run(backfills, request(), "airflow-1")
    record, _ = run(backfills, request(stages=("performance",)), "airflow-1")
    assert record.stages == ("score", "performance")
    reports = backfills.reports(backfills.finish(backfills.record("airflow-1")))
    kept = json.loads(backfills.folder.joinpath("airflow-1.json").read_text())
    assert (kept["state"], set(kept["difference"])) == ("done", {"predictions", "quality"})
    assert kept["difference"]["predictions"]["total"]["versions_before"] == "2"
    assert "airflow-1" in backfills.folder.joinpath("airflow-1.html").read_text()
    assert [path.rsplit("/", 1)[1] for path in reports] == ["airflow-1.html", "airflow-1.json"]


def test_parts_of_the_range_leave_the_record_of_the_whole(ready, backfills):
    backfills.open(backfills.plan(request(stages=("features", "score"))), "airflow-1")
    path = backfills.folder / "airflow-1.json"
    begun = path.read_bytes()
    for day in (DAYS.end, DAYS.start):  # side by side, so in any order
        run(backfills, request(partitions=Partitions(day, day)), "airflow-1")
        assert path.read_bytes() == begun
    record = backfills.finish(backfills.record("airflow-1"))
    assert (record.partitions, record.before["predictions"]) == (str(DAYS), None)
    assert record.difference.predictions.total.added == 120


def test_an_id_names_one_range(backfills):
    run(backfills, request(), "b1")
    with pytest.raises(SpecError, match=r"backfill b1 is of 2024-02-10\.\.2024-02-14, not of 2024-02-11"):
        run(backfills, request(partitions=DAYS.shift(1)), "b1")
    with pytest.raises(SpecError, match=r"--id \.\./x: use letters"):
        run(backfills, request(), "../x")
    with pytest.raises(MissingInputError, match=r"has no backfill 'b2'\. Known: b1"):
        backfills.record("b2")


def test_a_record_that_cannot_be_read_is_named_with_its_place(backfills):
    path = backfills.folder / "old.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"id": "old", "modle": "2"}')
    with pytest.raises(DataError, match=r"old\.json is not valid:\n(.*\n)*.*modle: unknown key; did you mean 'model'"):
        backfills.record("old")

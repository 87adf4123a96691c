"""Files of past days that come again. Contrail builds again what they touch, and writes down the difference."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.landed import deliver_anew, landed_path
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs
from tests.unit.cli.test_cli import run as run_command

from contrail.config.settings import settings
from contrail.errors import CommitConflictError, DataError, FileRefusedError
from contrail.operations import late
from contrail.operations.backfill import Backfills
from contrail.operations.late import correct
from contrail.operations.late_work import unfinished_work
from contrail.partitions import Partitions

pytestmark = pytest.mark.slow
FIRST, ON = "2024-01-01", "2024-02-20"
DAY = Partitions.parse(ON).start
FEATURES = "SELECT * FROM features ORDER BY partition_date, parcel"
SCORES = "SELECT partition_date, parcel, probability FROM predictions ORDER BY ALL"


def daily_runs(toy: Toy) -> None:
    """The toy pipeline as its daily runs leave it on 20 February, with predictions since the 10th."""
    copy_empty_registry(settings())
    toy.land(FIRST, ON)
    for verb in ("ingest", "validate"):
        toy.run(verb, FIRST, ON, as_of_cutoff=True)
    toy.run("features", FIRST, ON)
    toy.run("train", FIRST, "2024-01-25", params={"nthread": 1})
    toy.run("promote", "2024-01-27", "2024-02-09")
    toy.run("score", "2024-02-10", ON)


@pytest.fixture
def toy_on(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    return prepared(daily_runs)


def backfills(toy: Toy, **score: Any) -> Backfills:
    spec = toy.spec.model_copy(update={"score": toy.spec.score.model_copy(update=score)})
    return Backfills(dataclasses.replace(toy.pipeline, spec=spec), toy.settings, toy.lake)


def corrections(toy: Toy) -> list[tuple[Any, ...]]:
    return toy.sql(
        "SELECT published, strftime(partition_date, '%m-%d'), rows_changed > 0, decisions_flipped "
        "FROM corrections ORDER BY 1, 2"
    )


def test_without_late_files_nothing_happens(toy_on: Toy) -> None:
    before = toy_on.lake.snapshot_id("features")
    found = correct(backfills(toy_on), DAY)
    assert (found.files, found.days) == ((), ())
    assert toy_on.lake.snapshot_id("features") == before
    assert not toy_on.lake.exists("corrections")


def test_features_follow_and_predictions_stay_as_they_were(toy_on: Toy) -> None:
    before, scores = toy_on.sql(FEATURES), toy_on.sql(SCORES)
    deliver_anew(toy_on, "2024-02-15")
    found = correct(backfills(toy_on), DAY)
    assert found.files == ("deliveries 2024-02-15",)
    assert found.days == tuple(f"2024-02-{day}" for day in range(16, 21))
    assert corrections(toy_on) == [("features", f"02-{day}", True, 0) for day in range(16, 21)]
    assert toy_on.sql(SCORES) == scores
    after = toy_on.sql(FEATURES)
    assert after != before
    toy_on.run("features", FIRST, ON)
    assert toy_on.sql(FEATURES) == after, "what a build of the whole range gives"
    assert all(Path(path).exists() for path in found.reports)
    assert correct(backfills(toy_on), DAY).files == (), "once"


def test_where_the_spec_says_so_days_are_scored_again_and_the_correction_says_how(toy_on: Toy) -> None:
    scores = toy_on.sql(SCORES)
    deliver_anew(toy_on, "2024-02-15")
    found = correct(backfills(toy_on, late_data="rescore"), DAY)
    changed = {str(a[0]) for a, b in zip(scores, toy_on.sql(SCORES), strict=True) if a != b}
    assert changed == {f"2024-02-{day}" for day in range(16, 21)}
    assert [row[:2] for row in corrections(toy_on) if row[0] == "predictions"] == [
        ("predictions", f"02-{day}") for day in range(16, 21)
    ]
    assert found.decisions_flipped == sum(row[3] for row in corrections(toy_on))
    assert toy_on.sql("SELECT DISTINCT cause FROM corrections") == [("deliveries 2024-02-15",)]


def test_a_run_that_died_after_ingest_is_finished_by_the_next(toy_on: Toy) -> None:
    deliver_anew(toy_on, "2024-02-15")
    toy_on.run("ingest", "2024-02-15", as_of_cutoff=False)
    assert correct(backfills(toy_on), DAY).files == ("deliveries 2024-02-15",)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


def die_after(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, call: int, death: type[BaseException]) -> None:
    """End the process after this call has done its work."""
    real, calls = getattr(where, name), []

    def deadly(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        calls.append(args)
        if len(calls) == call:
            monkeypatch.setattr(where, name, real)
            raise death("here")
        return result

    monkeypatch.setattr(where, name, deadly)


def changes(before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]) -> Counter[str]:
    """Rows that are different, by day; a row begins with its day."""
    return Counter(str(new[0]) for old, new in zip(before, after, strict=True) if old != new)


@pytest.mark.parametrize(
    ("where", "name", "call", "death"),
    [
        pytest.param(late, "run_stage", 2, Killed, id="validated"),
        pytest.param(Backfills, "open", 1, Killed, id="features-begun"),
        pytest.param(Backfills, "run", 1, Killed, id="features-committed"),
        pytest.param(Backfills, "run", 1, CommitConflictError, id="a-lost-commit"),
        pytest.param(Backfills, "finish", 1, Killed, id="features-compared"),
        pytest.param(late, "_record", 1, Killed, id="features-recorded"),
        pytest.param(Backfills, "run", 2, Killed, id="scores-committed"),
        pytest.param(late, "_record", 2, Killed, id="scores-recorded"),
    ],
)
def test_killed_anywhere_the_next_run_leaves_what_an_uninterrupted_one_does(
    toy_on: Toy, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, call: int, death: type[BaseException]
) -> None:
    features, scores = toy_on.sql(FEATURES), toy_on.sql(SCORES)
    deliver_anew(toy_on, "2024-02-15")
    rescoring = backfills(toy_on, late_data="rescore")
    die_after(monkeypatch, where, name, call, death)
    with pytest.raises(death):
        correct(rescoring, DAY, "killed")
    found = correct(rescoring, DAY, "next")
    assert (found.files, found.days) == (("deliveries 2024-02-15",), tuple(f"2024-02-{day}" for day in range(16, 21)))
    after, scores_after = toy_on.sql(FEATURES), toy_on.sql(SCORES)
    written = toy_on.sql("SELECT published, partition_date, rows_changed FROM corrections")
    assert len(written) == 10, "each once"
    for table, expected in (("features", changes(features, after)), ("predictions", changes(scores, scores_after))):
        assert {str(day): rows for published, day, rows in written if published == table} == expected
    toy_on.run("features", FIRST, ON)
    assert toy_on.sql(FEATURES) == after, "what a build of the whole range gives"
    toy_on.run("score", "2024-02-16", ON)
    assert toy_on.sql(SCORES) == scores_after
    assert correct(rescoring, DAY).files == (), "once"


def test_what_cannot_be_ended_does_not_stop_what_came_since(toy_on: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_anew(toy_on, "2024-02-15")
    die_after(monkeypatch, Backfills, "run", 1, Killed)
    with pytest.raises(Killed):
        correct(backfills(toy_on), DAY, "killed")
    deliver_anew(toy_on, "2024-02-10")
    die_after(monkeypatch, Backfills, "run", 1, CommitConflictError)
    with pytest.raises(CommitConflictError):
        correct(backfills(toy_on), DAY, "next")
    assert toy_on.sql("SELECT DISTINCT cause FROM corrections") == [("deliveries 2024-02-10",)]
    correct(backfills(toy_on), DAY, "last")
    assert toy_on.sql("SELECT DISTINCT cause FROM corrections ORDER BY 1") == [
        ("deliveries 2024-02-10",),
        ("deliveries 2024-02-15",),
    ]


def test_a_bad_late_file_does_not_stop_a_good_one(toy_on: Toy) -> None:
    deliver_anew(toy_on, "2024-02-15")
    deliver_anew(toy_on, "2024-02-12").write_bytes(b"not gzip")
    with pytest.raises(FileRefusedError, match=r"2024-02-12\.2\.csv\.gz"):
        correct(backfills(toy_on), DAY)
    assert {row[1] for row in corrections(toy_on)} == {f"02-{day}" for day in range(16, 21)}


def test_a_file_that_is_still_missing_is_left_to_its_own_days_run(toy_on: Toy) -> None:
    later = Partitions.parse("2024-02-23").start
    assert correct(backfills(toy_on), later).files == ("deliveries 2024-02-20",), "not the files of 21 and 22 February"


def test_a_file_older_than_the_look_back_is_left_alone_and_told_until_it_is_taken_in(
    toy_on: Toy, collect: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert correct(backfills(toy_on), DAY).too_old == ()
    raw = toy_on.lake.snapshot_id("raw_deliveries")
    deliver_anew(toy_on, "2024-02-02")
    landed_path(toy_on, "deliveries", "2024-02-04").touch()  # the same again
    found = correct(backfills(toy_on), DAY, progress=collect)
    assert (found.files, toy_on.lake.snapshot_id("raw_deliveries")) == ((), raw)
    own = "contrail backfill -p toy --from 2024-02-02 --to 2024-02-02 --stages ingest,validate"
    reached = "contrail backfill -p toy --from 2024-02-03 --to 2024-02-09 --stages features"
    age = "older than the 14 days of schedule.late_days"
    told = f"deliveries/2024-02-02.2.csv.gz came too late to be taken in, {age}. To take it in: {own} && {reached}"
    assert found.too_old == (told,)
    assert told in collect.lines  # type: ignore[attr-defined]
    rescored = correct(backfills(toy_on, late_data="rescore"), DAY).too_old
    assert rescored == (f"{told},score --model as-of",)

    for command in (own, reached):
        assert run_command(monkeypatch, capsys, *command.split()[1:])[0] == 0
    assert correct(backfills(toy_on), DAY).too_old == ()
    before = toy_on.sql(FEATURES)
    toy_on.run("features", FIRST, ON)
    assert toy_on.sql(FEATURES) == before, "the command has taken it in"


def test_a_day_that_never_landed_is_told_when_it_comes_too_late(toy: Toy) -> None:
    toy.land("2024-01-03", "2024-01-20")
    toy.run("ingest", "2024-01-03", "2024-01-20", as_of_cutoff=True, leave_missing=True)
    toy.land("2024-01-01", "2024-01-02")
    told = correct(backfills(toy), Partitions.parse("2024-01-20").start).too_old
    assert [line.partition(" came")[0] for line in told] == [
        "parcels/2024-01-01.csv.gz to 2024-01-02.csv.gz",
        "deliveries/2024-01-01.csv.gz to 2024-01-02.csv.gz",
    ]


def test_a_pipeline_that_ended_has_no_late_days_to_wait_for(toy: Toy) -> None:
    assert correct(backfills(toy), Partitions.parse("2024-04-20").start).files == ()


def test_work_that_cannot_be_read_is_named_with_its_place(toy: Toy) -> None:
    path = toy.settings.reports / "toy" / "late" / "old.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"id": "old", "touchd": {}, "features": null, "scores": null}')
    with pytest.raises(
        DataError, match=r"old\.json is not valid:\n(.*\n)*.*touchd: unknown key; did you mean 'touched'"
    ):
        unfinished_work(backfills(toy))

"""A stage that is killed between two of its commits: nobody takes the day for done, and the next command ends the work."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.landed import deliver_spoilt
from tests.toy_tables import copy_empty_registry, skip_what_only_train_needs

from contrail.adapters import registry
from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.lake import publisher
from contrail.lake.records import all_datasets
from contrail.operations.backfill import Backfills
from contrail.operations.late import correct
from contrail.operations.status import partition_status

pytestmark = pytest.mark.slow

FIRST, DAY, NEXT, LAST = "2024-01-03", "2024-01-05", "2024-01-06", "2024-01-07"


class Killed(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


def landed_again(toy: Toy) -> None:
    """Days that are in the lake, and came again."""
    toy.land(FIRST, LAST)
    for verb in ("ingest", "validate"):
        toy.run(verb, FIRST, LAST)
    deliver_spoilt(toy, DAY, NEXT, LAST)


def ingested_again(toy: Toy) -> None:
    """The same, taken in."""
    landed_again(toy)
    attempt(lambda: toy.run("ingest", FIRST, LAST))


def scored_again(toy: Toy) -> None:
    """A champion's days, of which one has other features now, with a challenger that nobody has scored with."""
    copy_empty_registry(settings())
    toy.land("2024-01-01", "2024-02-12")
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, "2024-01-01", "2024-02-12")
    for end, alias in (("2024-01-25", "champion"), ("2024-01-26", "challenger")):
        version = toy.run("train", "2024-01-01", end, params={"nthread": 1}).details.model_version
        registry.set_alias(settings(), registry.describe_version(settings(), "toy", str(version)), alias)


def scored(toy: Toy) -> None:
    """The same days with their scores."""
    scored_again(toy)
    toy.run("score", "2024-02-01", "2024-02-03")


def attempt(work: Callable[[], Any]) -> None:
    """Run it, also when it refuses something."""
    try:
        work()
    except ContrailError as error:
        assert error.exit_code == 3, error


def contents(toy: Toy) -> dict[str, list[str]]:
    """The rows of every table, without who made them and when."""
    found = {}
    for name, dataset in all_datasets(toy.spec).items():
        if toy.lake.exists(name):
            # The names of data files, of which ``made_of`` is a digest, have a random part.
            columns = [column for column in dataset.columns if column not in (*dataset.receipts, "made_of")]
            found[name] = sorted(map(str, toy.lake.scan(name, columns=columns).to_pylist()))
    return {name: rows for name, rows in found.items() if rows}


def states(toy: Toy, stage: str) -> dict[date, str]:
    return {one.partition: one.stages[stage] for one in partition_status(toy.lake, toy.pipeline)}


def kill_after(patch: pytest.MonkeyPatch, commits: int) -> None:
    real, made = publisher.swap, []

    def deadly(*args: Any, **named: Any) -> int:
        snapshot = real(*args, **named)
        made.append(snapshot)
        if len(made) == commits:
            raise Killed
        return snapshot

    patch.setattr(publisher, "swap", deadly)


def late(toy: Toy) -> None:
    correct(Backfills(toy.pipeline, toy.settings, toy.lake), date.fromisoformat(LAST) + timedelta(days=2))


CASES = {
    "ingest": (landed_again, FIRST, LAST),
    "validate": (ingested_again, FIRST, LAST),
    "features": (ingested_again, FIRST, "2024-01-04"),
    "score": (scored_again, "2024-02-01", "2024-02-03"),
}


@pytest.mark.parametrize("verb", CASES)
def test_killed_after_any_commit_the_same_command_leaves_what_an_undisturbed_run_does(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    skip_what_only_train_needs(monkeypatch)
    fill, start, end = CASES[verb]

    def work(toy: Toy) -> None:
        toy.run(verb, start, end)

    _kill_everywhere(lambda: prepared(fill), verb, work, work)


@pytest.mark.parametrize("verb", ["drift", "performance"])
def test_killed_stages_that_measure(prepared: Prepare, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    skip_what_only_train_needs(monkeypatch)

    def work(toy: Toy) -> None:
        toy.run(verb, "2024-02-01", "2024-02-03")

    _kill_everywhere(lambda: prepared(scored), verb, work, work)


def test_a_validation_that_was_killed_is_ended_by_late(prepared: Prepare) -> None:
    """The next command need not be the same one."""
    _kill_everywhere(lambda: prepared(ingested_again), "validate", lambda toy: toy.run("validate", FIRST, LAST), late)


def _kill_everywhere(
    begin: Callable[[], Toy], stage: str, work: Callable[[Toy], Any], again: Callable[[Toy], Any]
) -> None:
    toy = begin()
    before = contents(toy)
    attempt(lambda: work(toy))
    expected, done = contents(toy), states(toy, stage)
    commits = 0
    while True:
        toy, commits = begin(), commits + 1
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, commits)
            try:
                attempt(lambda: work(toy))  # noqa: B023
                break
            except Killed:
                pass
        # Ingest's state says that a day is in the lake, not which delivery of it. A challenger's rows in shadow hold up
        # nobody: they come after the champion's, which mark the day as scored. Nor do estimates, which learn from what was
        # measured, so come after it: each later run makes those that are missing.
        half = {name: rows for name, rows in contents(toy).items() if name != "estimates"}
        whole = [{name: rows for name, rows in one.items() if name != "estimates"} for one in (before, expected)]
        if stage not in ("ingest", "score") and half not in whole:
            assert states(toy, stage) != done, f"after {commits} commits half of the work passes for all of it"
        attempt(lambda: again(toy))  # noqa: B023
        left = contents(toy)
        different = {name for name in {*left, *expected} if left.get(name) != expected.get(name)}
        assert not different, f"killed after {commits} commits"
        assert states(toy, stage) == done, f"killed after {commits} commits"
    assert commits > 1, "nothing was published, so nothing could be killed"

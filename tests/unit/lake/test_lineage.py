"""Who made a partition, and whether an input has changed since, from the commits alone."""

from datetime import date

import pytest

from contrail.lake.lineage import Lineage, commit_of
from contrail.lake.provenance import PARTITIONS
from contrail.partitions import Partitions

DAYS = Partitions.parse("2024-01-01", "2024-01-09")


def lineage(*labels: str) -> Lineage:
    """Commits 1, 2, … in the order given, as the lake gives them: newest first."""
    commits = [commit_of(number, {PARTITIONS: label}) for number, label in enumerate(labels, start=1)]
    return Lineage(tuple(reversed(commits)))


def maker(found: Lineage, day: int) -> int | None:
    commit = found.maker(date(2024, 1, day))
    return commit.snapshot if commit else None


def test_the_last_commit_that_covers_a_day_made_it() -> None:
    found = lineage("2024-01-01..2024-01-05", "2024-01-02,2024-01-04..2024-01-06", "2024-01-04")
    assert [maker(found, day) for day in range(1, 8)] == [1, 2, 1, 3, 2, 2, None]


def test_only_later_commits_of_the_window_are_changes() -> None:
    found = lineage("2024-01-01..2024-01-05", "2024-01-06", "2024-01-07")
    assert found.unchanged_since(2, Partitions.parse("2024-01-01", "2024-01-06"))
    assert not found.unchanged_since(2, DAYS)
    assert found.unchanged_since(3, DAYS)


@pytest.mark.parametrize("snapshot", [99, None])
def test_what_is_not_known_counts_as_changed(snapshot: int | None) -> None:
    assert not lineage("2023-01-01").unchanged_since(snapshot, DAYS)


def test_a_table_that_was_not_there_and_is_not_has_not_changed() -> None:
    assert Lineage(()).unchanged_since(None, DAYS)


def test_a_commit_of_a_whole_table_touches_every_day() -> None:
    found = lineage("2024-01-01", "all")
    assert maker(found, 1) == 2
    assert not found.unchanged_since(1, DAYS)
    assert commit_of(7, {}).touches(DAYS), "no word on its partitions: all of them"

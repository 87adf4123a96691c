"""Faults of Contrail that a storm must find, by name. Each is put into the libraries before the processes are forked."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from pyiceberg.exceptions import CommitFailedException

from contrail.errors import DataError
from contrail.lake import conflicts, publisher, readers
from contrail.lake.catalog import Tables
from contrail.lake.sql_catalog import RememberingSqlCatalog
from contrail.partitions import Partitions


def half_commits() -> None:
    """The publisher commits half of the rows, then all of them."""
    real = publisher.publish

    def publish(tables: Any, dataset: Any, rows: Any, *rest: Any, **named: Any) -> int:
        if rows.num_rows > 1:
            real(tables, dataset, rows.slice(0, rows.num_rows // 2), *rest, **named)
        return real(tables, dataset, rows, *rest, **named)

    publisher.publish = publish


def readers_that_follow() -> None:
    """A reader takes each day from the table as it is by then."""
    Tables.at_rest = lambda self: self

    def files(tables: Any, name: str, partitions: Any = None, snapshot_id: Any = None, scope: Any = None) -> list[str]:
        if partitions or snapshot_id:
            return real(tables, name, partitions, snapshot_id, scope)
        return [file for day in readers.partitions(tables, name) for file in real(tables, name, Partitions(day, day))]

    real = readers.files
    readers.files = files


def no_turns() -> None:
    """Writers take no turns, as those of several machines take none. This is no fault: commits compare and swap."""
    conflicts._turn = lambda *_: nullcontext()


def lost_commits() -> None:
    """Who lost a commit to another writer says that it is done. Without turns, writers of one machine lose some too."""
    no_turns()
    real = RememberingSqlCatalog.commit_table

    def commit_table(catalog: Any, table: Any, *rest: Any) -> Any:
        try:
            return real(catalog, table, *rest)
        except CommitFailedException:
            return _Made(table.metadata, table.metadata_location)

    RememberingSqlCatalog.commit_table = commit_table


def conflicts_for_people() -> None:
    """A writer that meets another one is told that its rows are wrong."""

    def commit(tables: Any, name: str, attempt: Callable[[], Any]) -> Any:
        try:
            return attempt()
        except CommitFailedException as error:
            raise DataError(f"{name} cannot be published") from error

    Tables.commit = commit


class _Made:
    """The answer to a commit."""

    def __init__(self, metadata: Any, metadata_location: str) -> None:
        self.metadata, self.metadata_location = metadata, metadata_location


PLANTED: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (half_commits, readers_that_follow, lost_commits, conflicts_for_people)
}

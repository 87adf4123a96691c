"""A process of a storm: it does one operation after another, by chance, and writes down what each did, saw and said."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from contrail.adapters.machine_errors import machine_errors
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.lake.sql import ask
from contrail.operations.attach import attach
from contrail.operations.maintain import compact, maintain
from contrail.partitions import Partitions
from tests.chaos.arena import Ended
from tests.storm import persons, tagged
from tests.storm.journal import Journal

DONE, AGAIN, REFUSED, WRONG = "done", "again", "refused", "wrong"
_AGAIN_CODE = 75


@dataclass
class Worker:
    """One process. ``commands`` runs lines of the shell elsewhere, in a process without threads.

    Attributes:
        name: Its own.
        journal: Where it writes.
        chance: Chooses.
        commands: Gets an operation's name and a line, and answers with its ``Ended``.
        share: Which share of the operations are commands.
        grace: How long readers and writers need at most.
        more: Whether there is another operation to do.
    """

    name: str
    journal: Journal
    chance: random.Random
    commands: Connection
    share: float
    grace: timedelta
    more: Callable[[], bool]
    lake: Lake = field(init=False)
    _number: int = 0
    kinds: ClassVar[dict[str, float]] = {}

    def run(self) -> None:
        """Do operations until there are no more."""
        self.pipeline = load_pipeline(tagged.PIPELINE)
        self.tables = tagged.tables(self.pipeline)
        self.lake = Lake(settings(), tagged.PIPELINE)
        while self.more():
            self._number += 1
            self.journal.operation = f"{self.name}-{self._number}"
            if self.chance.random() < self.share:
                self.command()
            else:
                kind = self.chance.choices([*self.kinds], [*self.kinds.values()])[0]
                self.operate(kind, getattr(self, kind))
        self.commands.send(None)

    def operate(self, kind: str, act: Callable[[], dict[str, Any]]) -> None:
        """Do one operation, and write down how it ended."""
        begin = time.monotonic()
        outcome, said, found = DONE, "", {}
        try:
            with machine_errors():
                found = act()
        except ContrailError as error:
            outcome, said = AGAIN if error.retryable else WRONG, f"{type(error).__name__}: {error}"
        except Exception as error:
            outcome, said = WRONG, f"unexpected {type(error).__name__}: {error}"
        self.note(kind, begin, outcome, said, **found)

    def note(self, kind: str, begin: float, outcome: str, said: str, **found: Any) -> None:
        """Write down an operation."""
        end = time.monotonic()
        self.journal.write("operation", kind=kind, begin=begin, end=end, outcome=outcome, said=said[:2000], **found)

    def command(self) -> None:
        """Give a command, as a person does."""
        raise NotImplementedError

    def shell(self, kind: str, line: str) -> Ended:
        """Run a line of the shell, and write down how it ended."""
        begin = time.monotonic()
        self.commands.send((self.journal.operation, line))
        ended: Ended = self.commands.recv()
        outcome = {0: DONE, _AGAIN_CODE: AGAIN}.get(-1 if ended.code is None else ended.code, WRONG)
        if outcome == WRONG and any(words in ended.said for words in persons.REFUSALS):
            outcome = REFUSED
        said = "" if outcome == DONE else f"exit {ended.code}: {ended.said[-1500:]}"
        found = {"line": line}
        if "query" in kind and outcome == DONE:
            found["torn"] = persons.torn_days(ended.said) if "tags" not in kind else _torn_tags(ended.said)
        self.note(kind, begin, outcome, said, **found)
        return ended

    def table(self) -> str:
        """Choose a tagged table."""
        return self.chance.choice([*self.tables])


class Writer(Worker):
    """A process that writes."""

    kinds: ClassVar[dict[str, float]] = {
        "publish": 40, "publish_days": 15, "publish_each": 4, "publish_again": 6, "rollback": 5, "tag": 4, "maintain": 0.5,
    }  # fmt: skip
    _last: tuple[str, list[Any], int] | None = None
    _tag: tuple[str, str] | None = None

    def command(self) -> None:
        """Give a command of those that change something."""
        kind, line = persons.command(self.chance, self.grace.total_seconds(), self._number * 100 + int(self.name[1:]))
        if kind == "late":
            persons.deliver(self.chance)
        self.shell(kind, line)

    def publish(self, count: int = 1, each: bool = False) -> dict[str, Any]:
        """Publish days anew, or none of their rows."""
        days = sorted(self.chance.sample(tagged.DAYS, count))
        return self._publish(self.table(), days, int(self.name[1:]) * 1_000_000 + self._number, each)

    def publish_days(self) -> dict[str, Any]:
        """Publish several days in one commit."""
        return self.publish(self.chance.randint(2, 4))

    def publish_each(self) -> dict[str, Any]:
        """Publish several days, each in a commit of its own."""
        return self.publish(3, each=True)

    def publish_again(self) -> dict[str, Any]:
        """Publish the same rows as before, as a retry does."""
        table, days, tag = self._last or (self.table(), tagged.DAYS[:1], int(self.name[1:]) * 1_000_000)
        return self._publish(table, days, tag, False)

    def _publish(self, table: str, days: list[Any], tag: int, each: bool) -> dict[str, Any]:
        self._last = (table, days, tag)
        intent = {"table": table, "days": [str(day) for day in days], "tag": tag}
        self.journal.write("intent", **intent)
        made_by = Provenance(self.journal.operation, "storm", "", "", "", extra={"tag": str(tag)})
        dataset = self.tables[table]
        self.lake.publish(dataset, tagged.rows(dataset, days, tag), days, made_by, each_partition=each)
        return intent

    def rollback(self) -> dict[str, Any]:
        """Make one of the newest snapshots the current one."""
        table = self.table()
        target = self.chance.choice(self.lake.history(table)[:24]).snapshot
        self.journal.write("intent", table=table, target=target)
        self.lake.rollback(table, target)
        return {"table": table, "target": target}

    def tag(self) -> dict[str, Any]:
        """Name a snapshot, or take the name away again."""
        if self._tag is not None:
            table, name = self._tag
            self.lake.untag(table, name)
            self._tag = None
            return {"table": table}
        table = self.table()
        name = f"of-{self.journal.operation}"
        self.lake.tag(table, self.chance.choice(self.lake.history(table)[:24]).snapshot, name)
        self._tag = (table, name)
        return {"table": table}

    def maintain(self) -> dict[str, Any]:
        """Remove what nobody needs, and nobody began to use lately."""
        list(compact(self.lake))
        return {"removed": sum(one.files for one in maintain(self.lake, self.pipeline.spec.retention, self.grace))}


_ROWS = "SELECT partition_date, weight FROM {}"


class Reader(Worker):
    """A process that reads."""

    kinds: ClassVar[dict[str, float]] = {
        "scan": 50, "partitions": 24, "snapshot": 12, "days": 8, "connect": 6, "query": 6, "as_of": 2, "attached": 0.5,
    }  # fmt: skip
    _folder: Path | None = None

    def command(self) -> None:
        """Give a command of those that only read."""
        self.shell(*persons.question(self.chance))

    def _read(self, table: str, found: Any, **more: Any) -> dict[str, Any]:
        state, torn = tagged.seen(found)
        return {"table": table, "state": state, "torn": torn, **more}

    def scan(self) -> dict[str, Any]:
        """Read a table as stages do."""
        table = self.table()
        rows = self.lake.scan(table, columns=["partition_date", "weight"])
        return self._read(table, zip(*(column.to_pylist() for column in rows.columns), strict=True))

    def days(self) -> dict[str, Any]:
        """Read days with others between them, as a stream."""
        table = self.table()
        days = sorted(self.chance.sample(tagged.DAYS, 4))
        with duckdb.connect() as connection:
            self.lake.view(connection, "chosen", table, days)
            found = connection.execute(_ROWS.format("chosen")).fetchall()
        return self._read(table, found, days=[str(day) for day in days])

    def connect(self) -> dict[str, Any]:
        """Read a table in a session of its own."""
        table = self.table()
        with self.lake.connect([table]) as connection:
            return self._read(table, connection.execute(_ROWS.format(table)).fetchall())

    def query(self) -> dict[str, Any]:
        """Ask as ``contrail query`` does."""
        table = self.table()
        with ask(self.lake, self.pipeline.spec, _ROWS.format(table)) as answer:
            return self._read(table, answer.rows())

    def as_of(self) -> dict[str, Any]:
        """Ask for the state of a second ago."""
        table, moment = self.table(), datetime.now(UTC) - timedelta(seconds=1)
        with ask(self.lake, self.pipeline.spec, _ROWS.format(table), as_of=moment) as answer:
            return self._read(table, answer.rows(), past=True)

    def partitions(self) -> dict[str, Any]:
        """Count the rows of each day."""
        table = self.table()
        found = self.lake.partitions(table, Partitions(tagged.DAYS[0], tagged.DAYS[-1]))
        return {"table": table, "counts": {str(day): one.rows for day, one in found.items()}}

    def snapshot(self) -> dict[str, Any]:
        """Read an earlier snapshot."""
        table = self.table()
        wanted = self.chance.choice(self.lake.history(table)[:24]).snapshot
        rows = self.lake.scan(table, columns=["partition_date", "weight"], snapshot_id=wanted)
        return self._read(table, zip(*(one.to_pylist() for one in rows.columns), strict=True), snapshot=wanted)

    def attached(self) -> dict[str, Any]:
        """Attach the lake to a file of DuckDB, and read there without Contrail."""
        table, path = self.table(), settings().home_path.parent / f"{self.name}.duckdb"
        attach(self.pipeline, self.lake, path)
        with duckdb.connect(str(path), read_only=True) as connection:
            return self._read(table, connection.execute(_ROWS.format(f"{tagged.PIPELINE}.{table}")).fetchall())


def _torn_tags(csv: str) -> list[str]:
    lines = [line.split(",") for line in csv.splitlines() if line[:4].isdigit()]
    return tagged.seen((day, float(weight)) for day, weight in lines)[1]

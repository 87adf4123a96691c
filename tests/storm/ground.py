"""The home of a storm: it is filled, the processes run on it, and at the end nothing may be left of their meeting."""

import importlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from contrail.adapters import registry
from contrail.adapters.registry import CHAMPION
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.lake.lake import Lake
from contrail.lake.model_history import read_moves
from contrail.lake.provenance import Provenance
from contrail.stages.changes import Unfinished, unfinished
from tests.chaos.arena import Arena
from tests.chaos.one import LIBRARIES
from tests.commands import exit_of
from tests.conftest import PROJECT
from tests.leftovers import leftovers
from tests.storm import persons, tagged
from tests.storm.journal import Journal
from tests.storm.judge import Chain, Verdict, judge
from tests.storm.workers import Reader, Worker, Writer

_PATIENCE_S = 3600.0  # a forgetting takes long where sixteen processes share two cores
_FORKED = get_context("fork")


@dataclass(frozen=True)
class Size:
    """How large a storm is; see the options of the command."""

    writers: int
    readers: int
    seconds: float
    operations: int
    commands: float
    grace: float
    seed: int


class Ground:
    """A storm's place. The process that makes one has loaded the libraries, and works with none of them: it forks."""

    def __init__(self, folder: Path, size: Size, catalog: str, say: Callable[[str], object]) -> None:
        self.folder, self.size, self.say, self.seconds = folder, size, say, 0.0
        self._catalog = catalog
        for name in ("journal", "tmp", "home"):
            (folder / name).mkdir()
        os.environ["TMPDIR"] = str(folder / "tmp")
        tempfile.tempdir = None
        self.journal = Journal(folder / "journal")
        self.pipelines = ("toy", persons.PIPELINE) if size.commands else ("toy",)
        persons.make_pipelines(folder / "pipelines")
        self.arena = Arena(folder, "toy", folder / "pipelines", PROJECT, _PATIENCE_S)
        for library in LIBRARIES if size.commands else ():
            importlib.import_module(library)
        settings.cache_clear()

    def storm(self, plant: Callable[[], None] | None = None) -> Verdict:
        """Fill the home, let the processes loose, and judge what they did."""
        with _postgres() if self._catalog == "postgres" else nullcontext():
            self._do("the home is filled", self._fill)
            self.journal.watch_commits()
            self._do("tagged tables begin", self._begin)
            if plant:
                plant()
            begin = time.monotonic()
            self._let_loose()
            self.seconds = time.monotonic() - begin
            self.say(f"{self.seconds:,.0f} s of storm are over")
            found = self.folder / "verdict"
            self._do("judged", lambda: found.write_text(self._judge().as_text()))
            return Verdict.read(found.read_text())

    def _do(self, what: str, act: Callable[[], Any]) -> None:
        begin = time.monotonic()
        ended = self.arena.ends(self.arena.starts(act))
        if ended.code:
            raise RuntimeError(f"{what}: no. {ended.said[-3000:]}")
        self.say(f"{what}, after {time.monotonic() - begin:.0f} s")

    def _fill(self) -> None:
        if self.size.commands:
            persons.fill()

    def _begin(self) -> None:
        """Each tagged table has all of its days."""
        pipeline = load_pipeline(tagged.PIPELINE)
        lake = Lake(settings(), tagged.PIPELINE)
        for number, (name, dataset) in enumerate(tagged.tables(pipeline).items(), start=1):
            self.journal.operation = f"begin-{number}"
            self.journal.write("intent", table=name, days=[str(day) for day in tagged.DAYS], tag=number)
            made_by = Provenance(self.journal.operation, "storm", "", "", "")
            lake.publish(dataset, tagged.rows(dataset, tagged.DAYS, number), tagged.DAYS, made_by)

    # ---- the processes ----

    def _let_loose(self) -> None:
        size, done = self.size, _FORKED.Value("q", 0)
        end = time.monotonic() + size.seconds

        def more() -> bool:
            with done.get_lock():
                done.value += 1
                return bool(done.value <= size.operations and time.monotonic() < end)

        names = [f"w{number}" for number in range(size.writers)] + [f"r{number}" for number in range(size.readers)]
        processes = []
        for name in names:
            own, other = _FORKED.Pipe()
            processes.append(_FORKED.Process(target=self._commands, args=(other,)))
            processes.append(_FORKED.Process(target=self._work, args=(name, own, more)))
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if wrong := [process.name for process in processes if process.exitcode]:
            raise RuntimeError(f"{len(wrong)} processes of the storm died")

    def _work(self, name: str, commands: Connection, more: Callable[[], bool]) -> None:
        settings.cache_clear()
        size, kind = self.size, Writer if name.startswith("w") else Reader
        chance = random.Random(f"{size.seed} {name}")  # noqa: S311 - what is done, no secret
        worker: Worker = kind(name, self.journal, chance, commands, size.commands, timedelta(seconds=size.grace), more)
        try:
            worker.run()
        finally:
            with suppress(BrokenPipeError):  # who runs the commands has died, and its exit code says so
                commands.send(None)

    def _commands(self, asked: Connection) -> None:
        """Run commands that another process asks for. This one has no threads, so it may fork."""
        for operation, line in iter(asked.recv, None):
            asked.send(self.arena.ends(self.arena.starts(lambda: self._command(operation, line))))  # noqa: B023

    def _command(self, operation: str, line: str) -> None:
        self.journal.operation = operation
        sys.exit(exit_of(line))

    # ---- the end ----

    def _judge(self) -> Verdict:
        verdict, chains = judge(self.journal)
        for name in self.pipelines:
            lake = Lake(settings(), name)
            verdict.wrong["lost"] += list(_not_the_last(lake, chains))
            verdict.wrong["left"] += self._left(lake)
        if self.size.commands:
            # What a rollback could not score again is left to the next command that reads models.
            self._run("contrail status -p people")
            verdict.wrong["left"] += _models(Lake(settings(), persons.PIPELINE))
        return verdict

    def _left(self, lake: Lake) -> Iterator[str]:
        """What is left in the tables of a pipeline after upkeep, and what is missing."""
        yield from self._run(f"contrail maintain -p {lake.namespace} --grace-days 0")
        for name in lake.table_names():
            table = lake.table(name)
            yield from (f"{lake.namespace}.{name}: {path} is of no snapshot" for path in sorted(leftovers(table))[:5])
            yield from (f"{lake.namespace}.{one}" for one in lake.verify(name).damages)
            for entry in lake.history(name):
                lake.scan(name, snapshot_id=entry.snapshot)

    def _run(self, line: str) -> list[str]:
        """Run a command of the end, and say how it failed."""
        ended = self.arena.ends(self.arena.starts(lambda: sys.exit(exit_of(line))))
        return [f"{line}: exit {ended.code}: {ended.said[-800:]}"] if ended.code else []


def _not_the_last(lake: Lake, chains: dict[str, Chain]) -> Iterator[str]:
    """Tables that are not as the last of their commits has left them."""
    for name in lake.table_names():
        chain = chains.get(f"{lake.namespace}.{name}")
        if chain and chain.last != lake.table(name).metadata_location:
            yield f"{lake.namespace}.{name} is not as its last commit left it"
        if chain and chain.epochs:
            rows = lake.scan(name, columns=["partition_date", "weight"])
            state, torn = tagged.seen(zip(*(one.to_pylist() for one in rows.columns), strict=True))
            if torn or state != chain.epochs[-1].state:
                yield f"{lake.namespace}.{name}: {torn or state} at the end, and not {chain.epochs[-1].state}"


def _models(lake: Lake) -> Iterator[str]:
    """Models that are not as their history says, and days of predictions that are of several runs."""
    champion, moves = registry.alias_version(settings(), lake.namespace, CHAMPION), read_moves(lake, CHAMPION)
    if moves and moves[-1].version_after != champion:
        yield f"champion is version {champion}, and {moves[-1].version_after} by its history"
    if unfinished(settings(), lake.namespace) != Unfinished():
        yield f"a change of models is not ended: {unfinished(settings(), lake.namespace)}"
    for entry in registry.versions(settings(), lake.namespace):
        if (entry.tags.get("status") == "champion") != (entry.version == champion):
            yield f"version {entry.version} has the status {entry.tags.get('status')}"


@contextmanager
def _postgres() -> Iterator[None]:
    """A server of Postgres with the catalog and the registry."""
    from tests.servers import served

    with served() as servers:
        os.environ |= servers.environment()
        settings.cache_clear()
        yield

"""Kill a command at many of its steps, run it again, and compare the home with that of an undisturbed run."""

import errno
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos import power
from tests.chaos.arena import Arena, Ended, Trap, UnreadableError
from tests.chaos.disturbed import AGAIN, Disturbance, message_of
from tests.chaos.observed import Observed, files, kind_of, observe, partitions_of
from tests.chaos.scenarios import Scenario

_UPKEEP = "contrail maintain -p {pipeline} --grace-days 0"
ONCE, TORN, TWICE, BESIDE, POWER = "once", "torn", "twice", "beside", "power cut"
# What the machine says from a step on, and the exit code of a command that could not go on: it may be tried again.
FAULTS = {"disk full": errno.ENOSPC, "read-only": errno.EROFS, "disk fails": errno.EIO, "no permission": errno.EACCES}

# Signals that ask a command to end, and the exit code that says so.
SIGNALS = {"SIGTERM": (signal.SIGTERM, 143), "SIGINT": (signal.SIGINT, 130)}


def steps_of(log: Path) -> list[str]:
    """The steps that a log has."""
    return [line for line in log.read_text().splitlines() if not line.startswith(power.FROM)]


@dataclass
class Trial:
    """One kill or fault, and what was wrong after the command had run again. ``told``: the message in which it ended."""

    scenario: str
    how: str
    step: int
    at: str
    told: str = ""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    half_seen: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        return not (self.lost or self.doubled or self.half_seen or self.blocked or self.other)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Calm:
    """What undisturbed runs leave: after the command, and after the same command again. Only what two of them agree on."""

    before: Observed
    once: Observed
    again: Observed
    exits: frozenset[int | None]
    columns: dict[str, tuple[str, ...]]
    facts: frozenset[str]
    kinds: Observed
    steps: tuple[str, ...]


class Trials:
    """All trials of one scenario."""

    def __init__(self, scenario: Scenario, arena: Arena, seed: int) -> None:
        self._scenario, self._arena = scenario, arena
        self._random = random.Random(f"{scenario.name} {seed}")  # noqa: S311 - which steps, no secret
        arena.fill(scenario.fill)
        self._line, self._beside = arena.filled_in(scenario.line), arena.filled_in(scenario.beside or "")
        self._calm = self._undisturbed()

    @property
    def steps(self) -> int:
        """How many steps the undisturbed command takes."""
        return len(self._calm.steps)

    def at(self, place: str, how: str) -> Iterator[Trial]:
        """Make a trial at each step whose kind and file, as a report names them, begin like this."""
        for step, line in enumerate(self._calm.steps, start=1):
            if kind_of(line).startswith(kind_of(place)):
                yield self._trial(step, how)

    def run(self, kills: int, faults: int = 0) -> Iterator[Trial]:
        """Make so many trials, at steps of as many kinds as there are."""
        for number, step in enumerate(self._chosen(kills)):
            how = ONCE
            if number % 5 == 3:
                how = TWICE
            elif number % 5 == 4:
                how = POWER
            elif number % 5 == 1 and self._beside:
                how = BESIDE
            elif self._calm.steps[step - 1].startswith("write") and number % 2:
                how = TORN
            yield self._trial(step, how)
        for number, step in enumerate(self._chosen(faults)):
            yield self._trial(step, list(FAULTS)[number % len(FAULTS)])

    def signalled(self, count: int) -> Iterator[Trial]:
        """Ask the command to end at so many steps, with each signal in turn."""
        for number, step in enumerate(self._chosen(count)):
            name = list(SIGNALS)[number % len(SIGNALS)]
            sent, code = SIGNALS[name]
            yield self.disturbed(Disturbance(name, ends=frozenset({code})), Trap(step, signal=sent))

    def disturbed(self, fault: Disturbance, trap: Trap | None = None) -> Trial:
        """Run the command while the machine has a fault, and again without one."""
        arena = self._arena
        trial = Trial(self._scenario.name, fault.how, trap.at if trap else 0, self._line)
        if trap:
            trial.at = self._calm.steps[trap.at - 1]
        with fault.around(arena):
            ended = arena.run(self._line, trap, inside=fault.inside)
        if ended.code is None:
            trial.blocked.append("the command itself never ended")
        if wrong := fault.problem(ended, self._calm.exits):
            trial.other.append(wrong)
        elif ended.code not in self._calm.exits:
            trial.told = f"exit {ended.code}: {message_of(ended)[:400]}"
        self._look_half_way(trial)
        self._told(trial, arena.run(self._line), "the same command again")
        self._compare(trial)
        arena.restore()
        return trial

    def _chosen(self, count: int) -> list[int]:
        """Choose steps, from 1: of each kind of step at each kind of file the first and the last, then others by chance."""
        kinds: dict[str, list[int]] = {}
        for number, line in enumerate(self._calm.steps, start=1):
            kinds.setdefault(kind_of(line), []).append(number)
        ends = {number for steps in kinds.values() for number in (steps[0], steps[-1])}
        others = sorted(set(range(1, self.steps + 1)) - ends)
        first = sorted(ends)
        self._random.shuffle(first)
        self._random.shuffle(others)
        return sorted((first + others)[:count])

    def _undisturbed(self) -> _Calm:
        arena, scenario = self._arena, self._scenario
        before = arena.look(observe)
        log = arena.folder / "steps.log"
        ended = arena.run(self._line, log=log)
        assert ended.code in scenario.exits, f"exit {ended.code}\n{ended.said}"
        once = arena.look(observe)
        repeated = arena.run(self._line)
        again = arena.look(observe)
        kinds = self._kinds()
        arena.restore()
        arena.run(self._line)
        other = arena.look(observe)
        arena.restore()
        columns = {
            table: tuple(
                name for name in rows if Counter(rows[name]) == Counter(other.tables.get(table, {}).get(name, []))
            )
            for table, rows in once.tables.items()
        }
        facts = frozenset(
            name for name in once.facts.keys() | other.facts.keys() if once.facts.get(name) == other.facts.get(name)
        )
        exits = frozenset({ended.code, repeated.code})
        return _Calm(before, once, again, exits, columns, facts, kinds, tuple(steps_of(log)))

    def _kinds(self, trial: Trial | None = None) -> Observed:
        """The kinds of files that are there after upkeep."""
        ended = self._arena.run(_UPKEEP.format(pipeline=self._arena.pipeline))
        if ended.code and trial:
            trial.blocked.append(f"upkeep: exit {ended.code}: {ended.said[-800:]}")
            return self._calm.kinds
        assert ended.code == 0, ended.said
        return self._arena.look(files)

    def _trial(self, step: int, how: str) -> Trial:
        arena = self._arena
        trial = Trial(self._scenario.name, how, step, self._calm.steps[step - 1])
        beside = arena.begin(self._beside) if how == BESIDE else None
        log = arena.folder / "power.log" if how == POWER else None
        died = arena.run(self._line, Trap(step, torn=how == TORN, error=FAULTS.get(how, 0)), log)
        if log:
            power.cut(arena.home, log.read_text().splitlines())
        if beside is not None:
            self._told(trial, arena.ends(beside), "the run beside it")
        if died.code is None:
            trial.blocked.append("the command itself never ended")
        if how in FAULTS and died.code not in self._calm.exits | {AGAIN}:
            trial.other.append(f"exit {died.code} and no clear message: {died.said[-600:]}")
        if how in FAULTS and died.code == AGAIN:
            trial.told = f"exit {AGAIN}: {message_of(died)[:400]}"
        if beside is None:
            self._look_half_way(trial)
        if how == TWICE:
            arena.run(self._line, Trap(self._random.randint(1, self.steps)))
        self._told(trial, arena.run(self._line), "the same command again")
        if beside is None:
            self._compare(trial)
        else:
            self._compare_with_both(trial)
        arena.restore()
        return trial

    def _told(self, trial: Trial, ended: Ended, who: str) -> None:
        """A command after the kill ends as undisturbed ones do. Beside another run it may say that it is to be tried again."""
        if trial.how == BESIDE and ended.code == 75:
            ended = self._arena.run(self._line)
        allowed = self._calm.exits | (self._scenario.beside_exits if trial.how == BESIDE else frozenset())
        if ended.code not in allowed:
            trial.blocked.append(f"{who}: exit {ended.code}: {ended.said[-800:]}")

    def _look_half_way(self, trial: Trial) -> None:
        """Each partition of each table is as before, or as after."""
        try:
            now = self._arena.look(observe)
        except UnreadableError as error:
            trial.half_seen.append(f"the home cannot be read: {str(error)[-600:]}")
            return
        for table, columns in self._calm.columns.items():
            if table in self._scenario.grows:
                continue
            found, before, after = (
                partitions_of(one, table, columns) for one in (now, self._calm.before, self._calm.once)
            )
            for day in found.keys() | before.keys() | after.keys():
                if found.get(day, Counter()) not in (before.get(day, Counter()), after.get(day, Counter())):
                    trial.half_seen.append(f"{table} of {day or 'all days'}")

    def _compare(self, trial: Trial) -> None:
        try:
            now = self._arena.look(observe)
        except UnreadableError as error:
            trial.lost.append(f"the home cannot be read: {str(error)[-600:]}")
            return
        for table, columns in self._calm.columns.items():
            rows, wanted = now.rows(table, columns), self._calm.once.rows(table, columns)
            if rows == self._calm.again.rows(table, columns):
                continue
            if table in self._scenario.diary:
                missing = sorted({_without_counts(row) for row in wanted} - {_without_counts(row) for row in rows})
                trial.lost += [f"{table}: {row}" for row in missing[:3]]
                continue
            trial.lost += [f"{table}: {row}" for row in [*(wanted - rows)][:3]]
            trial.doubled += [f"{table}: {row}" for row in [*(rows - wanted)][:3]]
        for table in now.tables.keys() - self._calm.once.tables.keys() - self._calm.again.tables.keys():
            trial.doubled.append(f"a table {table} that no undisturbed run makes")
        for name in sorted(self._calm.facts):
            value = now.facts.get(name)
            if value not in (self._calm.once.facts.get(name), self._calm.again.facts.get(name)):
                trial.other.append(f"{name}: {value} and not {self._calm.once.facts.get(name)}")
        kinds = self._kinds(trial)
        for name, value in kinds.facts.items():
            if value != self._calm.kinds.facts.get(name):
                trial.other.append(f"after upkeep: {name}: {value}")

    def _compare_with_both(self, trial: Trial) -> None:
        """With another run beside it, rows must be as the two leave them one after the other."""
        now = self._arena.look(observe)
        self._arena.restore()
        for line in (self._beside, self._line):
            assert line
            self._arena.run(line)
        wanted = self._arena.look(observe)
        for table, columns in self._calm.columns.items():
            rows, both = now.rows(table, columns), wanted.rows(table, columns)
            trial.lost += [f"{table}: {row}" for row in [*(both - rows)][:3]]
            trial.doubled += [f"{table}: {row}" for row in [*(rows - both)][:3]]


def _without_counts(row: tuple[str, ...]) -> tuple[str, ...]:
    """A line of a diary. What a killed run has done already, the next does not count again."""
    return tuple(cell for cell in row if not cell.isdecimal())

"""What people do: a spec that is no spec, killed commands, approvals, refusals, a person who is to be forgotten."""

import subprocess
from contextlib import suppress
from datetime import date, timedelta

from contrail.notify.messages import Kind
from tests.landed import lines_of
from tests.soak.ground import BIKES, Ground
from tests.soak.incident import Incident, Told
from tests.soak.year import answered, ended_with, task_runs, trained

_SECONDS = 4.0  # in which such a command is at its work


class BrokenSpec(Incident):
    """Somebody deploys a spec with a key that there is not. The other pipeline goes on."""

    pipeline = BIKES
    person = "engineer"

    def before(self, ground: Ground, number: int, day: date) -> None:
        ground.deploy(self.pipeline, {"gaet": {"window_days": 3}})

    def after(self, ground: Ground, number: int, day: date) -> bool:
        said = ground.contrail("check", "-p", self.pipeline, fails=True)
        if "gaet" not in said:
            raise RuntimeError(f"contrail check does not name the key: {said}")
        ground.deploy(self.pipeline)
        return ended_with(ground, f"{self.pipeline}__daily", day, again=True)


class KilledRange(Incident):
    """A scientist's command over four days is killed in its middle. The same command again does it."""

    person = "scientist"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        line = ("features", "-p", self.pipeline, "--from", day - timedelta(days=6), "--to", day - timedelta(days=3))
        _killed(ground, *line)
        ground.contrail(*line)
        return False


class TwoAtOnce(Incident):
    """A person builds the features of a day from a shell while its DAG does so."""

    person = "scientist"

    def during(self, ground: Ground, number: int, day: date) -> None:
        if task_runs(ground, f"{self.pipeline}__daily", day, "features"):
            ground.contrail("features", "-p", self.pipeline, "--from", day, fails=True)


class BadCandidate(Incident):
    """A scientist trains with parameters that the gate must refuse."""

    told = (Told(Kind.refusal, r"flight_delay promote .*refused"),)
    person = "scientist"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        trained(ground, "scientist", self.pipeline, day, settings="rounds=1 max_depth=1", why="a quick try")
        return False


class Approval(Incident):
    """A training waits for an approver, who answers a day later."""

    pipeline = BIKES
    days = 2
    person = "approver"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        if number == 0:
            trained(ground, "scientist", self.pipeline, day, why="newer days", approval=True)
        else:
            answered(ground, self.pipeline, "Approve", "looked at it")
        return False


class KilledUpkeep(Incident):
    """Upkeep is killed in its middle, and runs again."""

    person = "engineer"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        _killed(ground, "maintain", "-p", self.pipeline)
        ground.contrail("maintain", "-p", self.pipeline)
        return False


class Forgotten(Incident):
    """An aircraft's owner asks to be forgotten."""

    person = "data officer"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        head, row, *_ = lines_of(ground.feed(self.pipeline), "outcomes", str(day - timedelta(days=2)))
        tail = dict(zip(head.split(","), row.split(","), strict=True))["tailnum"]
        where = f"tailnum = '{tail}'"
        ground.write("forgotten", pipeline=self.pipeline, where=where)
        reason = ("--reason", "asked by letter")
        ground.contrail("forget", "-p", self.pipeline, "--where", where, *reason, "--yes", "--grace-minutes", 0)
        return False


class NoMail(Incident):
    """The channel of messages does not answer from now on. No task fails for it."""

    def before(self, ground: Ground, number: int, day: date) -> None:
        slack = {"connection_id": "contrail_slack", "conn_type": "slackwebhook", "host": "http://127.0.0.1:9"}
        ground.api.call("POST", "connections", json=slack | {"password": "x"})


def _killed(ground: Ground, *line: object) -> None:
    """Start a command, and kill it when it has had some seconds."""
    process = subprocess.Popen(ground.command(*line), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS)
    process.kill()
    process.wait()


PEOPLE: tuple[type[Incident], ...] = (
    KilledRange, BadCandidate, BrokenSpec, Approval, TwoAtOnce, NoMail, KilledUpkeep, Forgotten,
)  # fmt: skip

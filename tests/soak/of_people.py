"""What people do: a spec that is no spec, killed commands, approvals, refusals, a person who is to be forgotten."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta

from contrail.notify.messages import Kind
from contrail_airflow.local.api import AirflowApiError
from tests.chaos.preload import environment
from tests.landed import lines_of
from tests.soak.ground import BIKES, FLIGHTS, Ground
from tests.soak.incident import Incident, Told
from tests.soak.of_machines import at_work
from tests.soak.year import answered, import_errors, trained

_STEP = 12  # of a command that has begun to write
_KILLED = -9
_LENIENT = {
    "window_days": 14, "metric": "rmse", "min_rows": 200, "min_improvement_over_baseline": 0,
    "policy": "not_worse", "margin_share": 0.5,
}  # fmt: skip
# In the process of a person's command, before it: it dies at one of its steps.
_DIES = (
    "import sys; from pathlib import Path; from tests.chaos.preload import arm; arm(Path({home!r}), at={step}); "
    "sys.argv = ['contrail', *{arguments!r}]; from contrail.cli.app import main; main()"
)


class BrokenSpec(Incident):
    """Somebody deploys a spec with a key that there is not. Airflow shows it, and the other pipeline goes on."""

    pipeline = BIKES
    person = "engineer"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        ground.deploy(self.pipeline, {"gaet": {"window_days": 3}})
        try:
            shown = import_errors(ground, some=True)
            said = ground.contrail("check", "-p", self.pipeline, fails=True)
            if "gaet" not in shown or "gaet" not in said:
                raise RuntimeError(f"the key is not named: {said}\n{shown}")
            ground.contrail(
                "score", "-p", FLIGHTS, "--from", ground.date_of(FLIGHTS, ground.day_of(self.pipeline, day))
            )
        finally:
            ground.deploy(self.pipeline)
        import_errors(ground, some=False)
        return False


class _KilledCommand(Incident):
    """A person's command is killed in its middle. The same command again does it."""

    strikes = True

    def line(self, day: date) -> Sequence[object]:
        raise NotImplementedError

    def after(self, ground: Ground, number: int, day: date) -> bool:
        arguments = [str(word) for word in self.line(day)]
        code = _DIES.format(home=str(ground.home / "lake"), step=_STEP, arguments=arguments)
        line = [ground.command()[0], "-c", code]
        done = subprocess.run(line, env=environment(), capture_output=True, check=False, start_new_session=True)
        if done.returncode == _KILLED:
            ground.write("struck", incident=self.name, day=str(day), stage=arguments[0])
        ground.contrail(*arguments)
        return False


class KilledRange(_KilledCommand):
    """A scientist's command over four days is killed in its middle. The same command again does it."""

    person = "scientist"

    def line(self, day: date) -> Sequence[object]:
        days = ("--from", day - timedelta(days=6), "--to", day - timedelta(days=3))
        return ("features", "-p", self.pipeline, *days)


class KilledUpkeep(_KilledCommand):
    """Upkeep is killed in its middle, and runs again."""

    person = "engineer"

    def line(self, day: date) -> Sequence[object]:
        return ("maintain", "-p", self.pipeline)


class TwoAtOnce(Incident):
    """A person builds the features of a day from a shell while its DAG does so."""

    person = "scientist"
    strikes = True

    def during(self, ground: Ground, number: int, day: date) -> None:
        if at_work(ground, self.pipeline, "features", day):
            line = ground.command("features", "-p", self.pipeline, "--from", day)
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode not in (0, 75):
                raise RuntimeError(f"features twice at once: exit {done.returncode}: {done.stderr[-1000:]}")
            ground.write("struck", incident=self.name, day=str(day), stage="features")


class BadCandidate(Incident):
    """A scientist trains with parameters that the gate must refuse."""

    told = (Told(Kind.refusal, "flight_delay promote [-0-9]*..{before}.*refused"),)
    person = "scientist"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        trained(ground, "scientist", self.pipeline, day, settings="rounds=1 max_depth=1", why="a quick try")
        return False


class Approval(Incident):
    """A training waits for an approver, who answers a day later."""

    pipeline = BIKES
    days = 2
    told = (
        Told(Kind.approval, "bike_demand promote .*may version"),
        Told(Kind.promotion, "bike_demand promote .*champion"),
    )
    person = "approver"
    strikes = True

    def after(self, ground: Ground, number: int, day: date) -> bool:
        if number == 0:
            # A gate that any candidate passes that is not much worse: this is about the approval.
            ground.deploy(self.pipeline, {"gate": _LENIENT})
            trained(ground, "scientist", self.pipeline, day, why="newer days", approval=True)
            return False
        if answered(ground, self.pipeline, "Approve", "looked at it"):
            ground.write("struck", incident=self.name, day=str(day), stage="promote")
        ground.deploy(self.pipeline)
        return False


class Forgotten(Incident):
    """An aircraft's owner asks to be forgotten."""

    person = "data officer"

    def after(self, ground: Ground, number: int, day: date) -> bool:
        if not ground.journal("forgotten"):
            head, row, *_ = lines_of(ground.feed(self.pipeline), "outcomes", str(day - timedelta(days=2)))
            tail = dict(zip(head.split(","), row.split(","), strict=True))["tailnum"]
            ground.write("forgotten", pipeline=self.pipeline, where=f"tailnum = '{tail}'", day=str(day))
        where = ground.journal("forgotten")[-1]["where"]
        reason = ("--reason", "asked by letter")
        ground.contrail("forget", "-p", self.pipeline, "--where", where, *reason, "--yes", "--grace-minutes", 0)
        return False


class NoSlack(Incident):
    """Slack does not answer from now on. No task fails for it."""

    def before(self, ground: Ground, number: int, day: date) -> None:
        slack = {"connection_id": "contrail_slack", "conn_type": "slackwebhook", "host": "http://127.0.0.1:9"}
        with suppress(AirflowApiError):  # it is there since a soak that was killed
            ground.api.call("POST", "connections", json=slack | {"password": "x"})


PEOPLE: tuple[type[Incident], ...] = (
    KilledRange, BadCandidate, BrokenSpec, Approval, TwoAtOnce, NoSlack, KilledUpkeep, Forgotten,
)  # fmt: skip

"""The main job: how it divides the days, and what it does about the runs that it watches."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import Toy
from tests.pipelines.toy.source import DEPOTS
from tests.toy_tables import rows_of
from tests.unit.operations.leaks.conftest import publish

from contrail.config.pipeline import Pipeline, load_pipeline
from contrail.errors import ContrailError
from contrail.partitions import Partitions
from contrail_airflow.local.cascade import Cascade
from contrail_airflow.local.main_job import MainJob, MainJobError, make_plan

DAYS = Partitions(date(2024, 3, 9), date(2024, 3, 10))


def test_the_days_are_learned_from_then_scored_then_run_one_by_one(home: Any) -> None:
    plan = make_plan(load_pipeline("flight_delay"))
    assert str(plan.windows.train) == "2013-01-01..2013-08-31"
    assert str(plan.windows.gate) == "2013-09-03..2013-09-30"
    assert str(plan.history) == "2013-01-01..2013-09-30"
    assert str(plan.stretch) == "2013-10-01..2013-12-28"
    assert str(plan.daily) == "2013-12-29..2013-12-31"


def _ending(toy: Toy, last: date | None) -> Pipeline:
    return Pipeline(folder=toy.pipeline.folder, spec=toy.spec.model_copy(update={"last_partition": last}))


def test_too_few_days_are_refused_with_words(toy: Toy) -> None:
    with pytest.raises(ContrailError, match=r"ends on 2024-02-20, too early: .* 55 days from 2024-01-01"):
        make_plan(_ending(toy, date(2024, 2, 20)))
    assert len(make_plan(_ending(toy, date(2024, 2, 28))).stretch) == 1
    with pytest.raises(ContrailError, match="too early"):
        make_plan(_ending(toy, date(2024, 2, 27)))


def test_a_pipeline_without_an_end_runs_on_its_schedule(toy: Toy) -> None:
    with pytest.raises(ContrailError, match="runs on its schedule"):
        make_plan(_ending(toy, None))


def test_an_empty_home_needs_every_step(toy: Toy) -> None:
    labels = [label for label, _ in MainJob(toy.pipeline).steps()]
    assert labels == [
        "tables of 2024-01-01..2024-03-07",
        "first champion, trained on 2024-01-01..2024-02-09",
        "score 2024-02-25..2024-03-07",
        "day by day 2024-03-08..2024-03-10",
    ]


def test_the_last_week_of_the_stretch_is_checked_for_leaks(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    job = MainJob(toy.pipeline)
    with pytest.raises(MainJobError, match=r"(?s)check-leaks found a leak, or could not look:.*MissingInputError"):
        job._check_leaks()
    days = Partitions(date(2024, 2, 20), date(2024, 3, 9))
    rows = rows_of(days)
    publish(toy, "parcels", rows.assign(visible_from=rows["ship_date"]), days)
    publish(toy, "deliveries", rows, days)
    publish(toy, "depots", DEPOTS, None)
    job._check_leaks()
    assert "✓ toy: no leak found in 420 rows of 2024-03-01..2024-03-07" in capsys.readouterr().out


class FakeApi:
    """Airflow's answers, as its API gives them: runs have no number, only an id."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {"daily": [], "score": []}

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return list(reversed(self.found[dag_id]))

    def add(self, dag_id: str, key: str | None, state: str, run_id: str = "") -> dict[str, Any]:
        run_id = run_id or f"{dag_id}-{key}-{len(self.found[dag_id])}"
        run = {"dag_id": dag_id, "dag_run_id": run_id, "partition_key": key, "state": state}
        self.found[dag_id].append(run)
        return run


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def cascade(api: Any) -> Cascade:
    return Cascade(api, ["daily", "score"], DAYS)


def test_runs_from_before_do_not_count(api: FakeApi) -> None:
    for dag_id in ("daily", "score"):
        for day in DAYS:
            api.add(dag_id, str(day), "success")
    watched = cascade(api)
    assert watched.changes() == []
    assert not watched.done
    for dag_id in ("daily", "score"):
        for day in DAYS:
            api.add(dag_id, str(day), "success")
    assert len(watched.changes()) == 4
    assert watched.done


def test_each_change_is_told_once(api: FakeApi) -> None:
    watched = cascade(api)
    run = api.add("daily", "2024-03-09", "running")
    assert [change["state"] for change in watched.changes()] == ["running"]
    assert watched.active
    assert watched.changes() == []
    run["state"] = "success"
    assert [change["state"] for change in watched.changes()] == ["success"]
    assert not watched.active
    assert watched.missing == "daily 2024-03-10, score 2024-03-09, score 2024-03-10"


def test_other_days_and_runs_without_a_partition_are_not_ours(api: FakeApi) -> None:
    watched = cascade(api)
    api.add("daily", "2024-01-01", "failed")
    api.add("daily", None, "failed")
    assert watched.changes() == []


class TrainingApi:
    """Airflow with trainings under way; the newest first, as its API lists them."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.asked: list[Any] = []

    def runs(self, dag_id: str, **filters: Any) -> list[dict[str, Any]]:
        self.asked.append((dag_id, filters))
        return [{"dag_run_id": run_id} for run_id in reversed(self.states)]

    def wait(self, dag_id: str, run_id: str, *_: Any) -> str:
        self.asked.append(run_id)
        return "failed" if self.states[run_id] == "failed" else "success"

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        return next(iter(self.states))

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return [{"task_id": "train", "state": "success"}, {"task_id": "promote", "state": self.states[run_id]}]

    def log_tail(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        return [f"the log of {task['task_id']}"]


def test_a_training_that_the_governor_started_is_waited_for_and_may_be_refused(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    for state in ("failed", "skipped"):
        api: Any = TrainingApi(governor_1="success", governor_2=state)
        MainJob(toy.pipeline)._retrainings(api)
        assert api.asked == [("toy__train", {"state": ["queued", "running"]}), "governor_1", "governor_2"]
        said = capsys.readouterr().out
        assert (
            said.index("governor_1") < said.index("done") < said.index("governor_2") < said.index("the champion stays")
        )


def test_a_first_champion_that_is_refused_ends_the_job_with_the_reason(toy: Toy) -> None:
    """Airflow calls the run a success, because a refusal is a decision."""
    api: Any = TrainingApi(run="skipped")
    job: Any = MainJob(toy.pipeline)
    job.embedded = SimpleNamespace(check=lambda: None)
    api.url = "http://airflow"
    with pytest.raises(
        MainJobError, match=r"(?s)task promote was skipped: the governor or the gate.*the log of promote"
    ):
        job._train(api)

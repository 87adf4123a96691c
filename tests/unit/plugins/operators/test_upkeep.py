"""The command of upkeep as Airflow runs it, and what the run's note says of it."""

from typing import Any

from tests.conftest import Toy
from tests.unit.plugins.dags.rendering import build_dags, render

from contrail.stages.results import MaintainDetails, MaintainResult, Removed
from contrail_airflow.operators.run_notes import note
from contrail_airflow.operators.upkeep import MaintainOperator


def test_a_dry_run_of_the_form_removes_nothing(home: Any) -> None:
    dry, real = (build_dags("flight_delay")["flight_delay__maintain"] for _ in range(2))
    assert render(real) == "maintain: contrail maintain --pipeline flight_delay --json\n"
    assert render(dry, dry_run=True) == "maintain: contrail maintain --pipeline flight_delay --json --dry-run\n"


def test_it_goes_on_after_the_pipelines_last_day(home: Any) -> None:
    dags = build_dags("flight_delay")
    assert dags["flight_delay__maintain"].timetable.expression == "30 5 * * 0"
    assert not hasattr(dags["flight_delay__maintain"].timetable, "last")
    assert str(dags["flight_delay__train"].timetable.last) == "2013-12-31"


def test_the_note_of_a_run_says_what_went() -> None:
    removed = (Removed(of="features", files=2, size=2_500_000), Removed(of="staging", files=0, size=0))
    result = MaintainResult(pipeline="toy", details=MaintainDetails(removed=removed))
    said = "✓ maintain: 2 files (2.5 MB) went: features 2 files (2.5 MB)"
    assert note("", [("maintain", "success", result.as_dict())]) == said


def test_its_process_returns_its_result(toy: Toy) -> None:
    task = MaintainOperator(task_id="maintain", pipeline="toy")
    task.partition_from = task.partition_to = "2024-01-07"
    context: Any = {"ti": _Instance(), "dag_run": _Run()}
    returned = task.execute(context)
    assert MaintainResult.model_validate(returned).pipeline == "toy"


class _Run:
    start_date = "2024-01-07"


class _Instance:
    dag_id, run_id, task_id, map_index, try_number = "toy__maintain", "scheduled__x", "maintain", -1, 1
    log_url = "https://airflow/log"

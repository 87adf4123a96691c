"""The commands of upkeep and of a replay as Airflow runs them, and what the run's note says of it."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.unit.operations.test_replay import DAY, csv, quarantined, two_bad_rows
from tests.unit.plugins.dags.rendering import build_dags, render

from contrail.config.pipeline import parse_pipeline
from contrail.stages.replayed import ReplayDetails, ReplayResult
from contrail.stages.results import MaintainDetails, MaintainResult, Removed
from contrail_airflow.operators.ending import StageRefused
from contrail_airflow.operators.run_notes import note
from contrail_airflow.operators.upkeep import MaintainOperator, ReplayOperator


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


def test_the_form_of_a_replay_becomes_its_command(home: Any) -> None:
    dag = build_dags("flight_delay")["flight_delay__replay"]
    asked = {"table": "weather", "rows": None, "sql": "SELECT 1", "reason": "the mast was broken", "dry_run": True}
    of = "replay: contrail replay --pipeline flight_delay --table weather --sql SELECT 1 --reason the mast was broken"
    assert render(dag, run_id="manual__x", **asked) == f"{of} --person scientist --run-id RUN --json --dry-run\n"
    assert dag.params.get_param("table").schema["enum"] == list(parse_pipeline("flight_delay").spec.tables)
    rows = build_dags("flight_delay")["flight_delay__replay"]
    assert " --file rows.csv --reason misspelt " in render(rows)
    assert dag.is_paused_upon_creation is False


def test_its_rows_reach_the_command_and_no_log(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    toy = prepared(two_bad_rows)
    task = ReplayOperator(
        task_id="replay", pipeline="toy", table="parcels", rows=csv((4, "1.5")), reason="a slip", person="eve"
    )
    task.partition_from = task.partition_to = "2024-01-07"
    context: Any = {"ti": _Instance(), "dag_run": _Run()}
    with caplog.at_level(logging.INFO):
        result = ReplayResult.model_validate(task.execute(context))
    assert (result.details.passed, result.details.days) == (1, (DAY,))
    assert quarantined(toy) == [(6, "weight_range")]
    assert toy.sql("SELECT person, reason FROM mended") == [("eve", "a slip")]
    assert "4,1.5" not in caplog.text
    assert not list(Path(toy.settings.home_path, "tmp").glob("replay-*"))
    task.rows = csv((5, "1"))
    with pytest.raises(StageRefused):
        task.execute(context)


def test_the_note_of_a_replay_says_what_was_mended() -> None:
    details = ReplayDetails(
        dry_run=False, table="parcels", mended=3, passed=2, kept={"weight_range": 1}, different=("2024-01-05",)
    )
    said = note("", [("replay", "success", ReplayResult(pipeline="toy", details=details).as_dict())])
    assert said == (
        "✓ replay: 3 rows of parcels mended, 2 good, 1 still in quarantine (1 for weight_range); "
        "1 published days are different now"
    )


class _Run:
    start_date = "2024-01-07"
    triggering_user_name = None


class _Instance:
    dag_id, run_id, task_id, map_index, try_number = "toy__maintain", "scheduled__x", "maintain", -1, 1
    log_url = "https://airflow/log"

"""What goes by its age, and what stays whatever its age."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.conftest import PROJECT

from contrail.config.model_spec import RetentionSpec
from contrail.config.settings import settings
from contrail.operations import retention
from contrail.operations.retention import remove_old

DAY = 86_400
GRACE = timedelta(days=3)
KEPT = RetentionSpec(reports=30, logs=7, trials=None, data_versions=None)


def write(home: Path, days: float, *names: str) -> list[Path]:
    """Files of this age."""
    paths = [home / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        moment = path.stat().st_mtime - days * DAY
        os.utime(path, (moment, moment))
    return paths


def gone(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not path.exists()]


def clean(kept: RetentionSpec = KEPT, grace: timedelta = GRACE, *, dry_run: bool = False) -> dict[str, tuple[int, int]]:
    found = remove_old(settings(), "flight_delay", kept, grace, dry_run=dry_run)
    return {one.of: (one.files, one.size) for one in found if one.files}


REPORTS = "reports/flight_delay"
PAGES = [f"{REPORTS}/{name}.html" for name in ("data_docs/run-1", "drift/a_model-1", "backfills/b", "decisions/v1")]
RECORDS = [f"{REPORTS}/{name}" for name in ("backfills/b.json", "decisions/v1.json", "late/looked/parcels.json")] + [
    f"{REPORTS}/data_docs/great_expectations/{name}" for name in ("index.html", "static/a.css", "validations/a/b.html")
]
RUN = "airflow/logs/dag_id=flight_delay__daily/run_id=scheduled__2026-01-01/task_id=late/attempt=1.log"


def test_old_pages_go_and_records_stay(home: Path) -> None:
    old, young = write(home, 31, *PAGES), write(home, 29, f"{REPORTS}/drift/young.html")
    records = write(home, 9_999, *RECORDS, "reports/bike_demand/drift/a.html")
    assert clean(dry_run=True) == {"pages": (4, 20)}
    assert gone(old) == []
    assert clean() == {"pages": (4, 20)}
    assert gone(old) == old
    assert gone([*young, *records]) == []
    assert (home / REPORTS / "drift").is_dir(), "the next run writes there"


def test_old_logs_go_with_their_folders(home: Path) -> None:
    logs = "airflow/logs/dag_id=flight_delay__daily"
    old = write(home, 8, RUN)
    young = write(home, 6, f"{logs}/run_id=b/task_id=late/attempt=1.log")
    others = write(home, 99, "airflow/logs/dag_id=bike_demand__daily/run_id=a/task_id=late/attempt=1.log")
    others += write(home, 99, "airflow/component-logs/scheduler.log", "notifications.jsonl", "airflow/airflow.db")
    assert clean() == {"logs": (1, 5)}
    assert gone(old) == old and not old[0].parents[1].exists() and old[0].parents[2].is_dir()
    assert gone([*young, *others]) == []


def test_old_events_of_lineage_go(home: Path) -> None:
    old = write(home, 8, "lineage/flight_delay/2025-01.jsonl")
    kept = [
        *write(home, 6, "lineage/flight_delay/2025-02.jsonl"),
        *write(home, 99, "lineage/bike_demand/2025-01.jsonl"),
    ]
    assert clean() == {"lineage": (1, 5)}
    assert gone(old) == old and gone(kept) == []


def test_what_pipelines_share_is_kept_as_long_as_the_most_careful_says(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = write(home, 50, "errors/trace.txt", "airflow/logs/dag_processor/2026-01-01/flight_delay.py.log")
    pipelines = tmp_path / "pipelines"
    for name, days in (("flight_delay", "10"), ("bike_demand", "60")):
        text = (PROJECT / "include" / "pipelines" / name / "pipeline.yaml").read_text()
        (pipelines / name).mkdir(parents=True)
        (pipelines / name / "pipeline.yaml").write_text(f"{text}\nretention: {{logs: {days}}}\n")
    monkeypatch.setenv("CONTRAIL_PIPELINES", str(pipelines))
    settings.cache_clear()
    assert retention._longest("logs") == 60
    assert clean() == {}
    careful = pipelines / "bike_demand" / "pipeline.yaml"
    whole = careful.read_text()
    careful.write_text(whole.replace("logs: 60", "logs:"))
    assert retention._longest("logs") is None, "one of them keeps logs for ever"
    careful.write_text(whole + "\nnonsense: [")
    assert retention._longest("logs") is None, "nobody knows what it wants"
    assert clean() == {}
    careful.write_text(whole.replace("logs: 60", "logs: 49"))
    assert clean() == {"errors and shared logs": (2, 10)}
    assert gone(shared) == shared


def test_empty_keeps_for_ever_and_nothing_younger_than_the_grace_period_goes(home: Path) -> None:
    paths = write(home, 99, *PAGES, RUN)
    assert clean(RetentionSpec(reports=None, logs=None, trials=None, data_versions=None)) == {}
    assert clean(grace=timedelta(days=100)) == {}
    assert gone(paths) == []


def test_a_link_among_the_logs_stays_and_so_does_its_target(home: Path, tmp_path: Path) -> None:
    (target,) = write(tmp_path, 99, "mine.html")
    link = home / REPORTS / "drift" / "mine.html"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    assert clean() == {}
    assert link.is_symlink() and target.exists()

"""The note of a run. That Airflow shows it, the end-to-end tests see."""

from contrail.stages.results import IngestDetails, StageResult
from contrail_airflow.operators.run_notes import _asked, note

INGESTED = StageResult(
    stage="ingest", pipeline="toy", partitions="2024-01-05", run_id="r", rows=120, seconds=1.25,
    details=IngestDetails(files=2, unchanged_files=0, late=(), replaced=()),
).as_dict()  # fmt: skip


def test_a_note_has_the_days_and_a_line_for_each_stage() -> None:
    ended = [
        ("late", "skipped", None),
        ("ingest", "success", INGESTED),
        ("validate", "failed", None),
        ("features", "upstream_failed", None),
    ]
    assert note("2024-01-05", ended) == "**2024-01-05** · ✓ ingest 2024-01-05: 120 rows in 1.2 s · ✗ validate failed"


def test_a_result_of_another_version_is_named_without_its_sentence() -> None:
    assert note("", [("ingest", "success", {"rows": 7}), ("plan", "success", {"plan": {}})]) == "✓ ingest"


def test_a_candidate_that_the_gate_refused_is_told_and_one_that_nobody_trained_is_not() -> None:
    trained = [("train", "success", None), ("judge", "skipped", None), ("promote", "skipped", None)]
    assert note("2024-01-05", trained) == "**2024-01-05** · the gate refused the candidate; the champion stays"
    assert note("", [("govern", "success", None), ("train", "skipped", None), ("promote", "skipped", None)]) == ""


def test_a_long_note_is_cut_to_what_airflow_keeps() -> None:
    assert len(note("", [(f"task_{number}", "failed", None) for number in range(200)])) == 1000


def test_the_days_are_those_of_the_form() -> None:
    assert _asked({"from": "2024-01-05", "to": "2024-01-07"}) == "2024-01-05..2024-01-07"
    assert _asked({"from": "2024-01-05", "to": None}) == "2024-01-05"
    assert _asked({"day": "2024-01-05"}) == _asked({"as_of": "2024-01-05"}) == "2024-01-05"
    assert _asked({}) == ""

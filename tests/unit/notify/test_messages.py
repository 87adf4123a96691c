"""The messages that people get, and when they get none."""

import pytest

from contrail.errors import BudgetError, CommitConflictError, GateRefusedError, PartitionRefusedError, SpecError
from contrail.notify.messages import Kind, of_deadline, of_failure, of_result
from contrail.stages.replayed import ReplayDetails
from contrail.stages.results import (
    DriftDetails,
    IngestDetails,
    LateDetails,
    PromoteDetails,
    ScoreDetails,
    ShadowScoring,
    ValidateDetails,
)


@pytest.mark.parametrize(
    ("code", "kind", "to_do"),
    [
        (PartitionRefusedError.exit_code, Kind.refusal, "mend what is named above"),
        (GateRefusedError.exit_code, Kind.refusal, "read the record"),
        (BudgetError.exit_code, Kind.refusal, "wait for the next month"),
        (SpecError.exit_code, Kind.failure, "before that it would fail again"),
        (CommitConflictError.exit_code, Kind.failure, "retries are used up"),
        (-9, Kind.failure, "retries are used up"),
        (137, Kind.failure, "retries are used up"),
    ],
)
def test_a_failure_says_what_to_do_for_its_kind(code: int, kind: Kind, to_do: str) -> None:
    message = of_failure("toy validate 2024-01-05", code, "weight must be positive", "http://airflow/log")
    assert message.kind is kind
    assert to_do in message.to_do
    text = message.text()
    assert text.splitlines()[0] == f"Contrail {kind}: toy validate 2024-01-05"
    assert "What happened: weight must be positive" in text
    assert "What was kept: " in text
    assert text.endswith("http://airflow/log")


def test_a_process_that_said_nothing_still_has_its_code() -> None:
    assert of_failure("toy score", -9, "").happened == "exit code -9"


def test_unusual_days_are_told_a_few_of_them_by_name() -> None:
    words = tuple(f"parcels 2024-01-0{day}: rows 30; usually 58 to 62 on the last 28 days" for day in range(1, 8))
    message = of_result("toy validate", "toy", ValidateDetails(quarantined={}, unusual=words))
    assert message and message.kind is Kind.unusual
    assert words[4] in message.happened and words[5] not in message.happened and "and 2 more days" in message.happened
    assert of_result("toy validate", "toy", ValidateDetails(quarantined={})) is None


def drift(begins: tuple[str, ...], label_begins: tuple[str, ...] = ()) -> DriftDetails:
    """A day with drift, which began on these days."""
    return DriftDetails(
        model_name="toy", model_version="1", unusual_days=1, drift_days=1, drift_begins=begins, verdict="drift",
        without_features=(), label_drift_days=0, label_drift_begins=label_begins, without_labels=(),
    )  # fmt: skip


def test_drift_is_told_on_the_day_it_begins_only() -> None:
    begun = of_result("toy drift 2024-02-01", "toy", drift(("2024-02-01",)))
    assert begun and begun.kind is Kind.drift and "2024-02-01" in begun.happened
    assert of_result("toy drift 2024-02-02", "toy", drift(())) is None


def test_drift_of_the_label_is_told_with_that_of_the_features() -> None:
    alone = of_result("toy drift", "toy", drift((), ("2024-02-03",)))
    assert alone and alone.kind is Kind.drift
    assert alone.happened == "the labels known by then began to differ from what the model expects on 2024-02-03"
    both = of_result("toy drift", "toy", drift(("2024-02-01", "2024-02-02"), ("2024-02-03",)))
    assert both and both.happened.startswith("the features began to differ")
    assert both.happened.endswith(f"on 2024-02-01, 2024-02-02; {alone.happened}")


def test_a_promotion_names_both_versions() -> None:
    details = PromoteDetails(
        model_name="toy", model_version="3", verdict="pass", champion_before="2", metrics={}
    )  # fmt: skip
    message = of_result("toy promote", "toy", details)
    assert message and message.kind is Kind.promotion
    assert message.happened == "version 3 is champion in place of version 2"
    first = of_result("toy promote", "toy", details.model_copy(update={"champion_before": None}))
    assert first and first.happened == "version 3 is champion, the first"
    assert of_result("toy promote", "toy", details.model_copy(update={"verdict": "waits"})) is None


def test_late_and_repeated_files_are_told() -> None:
    late = IngestDetails(files=1, unchanged_files=0, late=("weighings 2024-01-04",), replaced=())
    message = of_result("toy ingest", "toy", late)
    assert message and message.kind is Kind.late_data and "weighings 2024-01-04" in message.happened
    assert of_result("toy ingest", "toy", late.model_copy(update={"late": ()})) is None


def test_everyday_results_are_no_news() -> None:
    scored = ScoreDetails(
        model_name="toy", model_version="1", feature_snapshot=1, without_entities=(), predict_seconds=1.0,
        shadow=ShadowScoring(),
    )  # fmt: skip
    assert of_result("toy score", "toy", scored) is None


def test_a_deadline_says_how_long() -> None:
    assert "120 minutes" in of_deadline("toy__daily run", 120).happened


def test_what_late_files_changed_is_told_and_decisions_only_where_there_are_any() -> None:
    found = LateDetails(files=("weighings 2024-01-04",), days=("2024-01-05", "2024-01-06"))
    message = of_result("toy late 2024-01-07", "toy", found)
    assert message and message.happened.endswith("; 2 published days became different: 2024-01-05 to 2024-01-06")
    message = of_result("toy late 2024-01-07", "toy", found.model_copy(update={"decisions_flipped": 3}))
    assert message and message.happened.endswith(", 3 decisions flipped")


def test_days_that_mended_rows_made_different_are_told() -> None:
    found = ReplayDetails(dry_run=False, table="weighings", mended=2, different=("2024-01-05", "2024-01-06"))
    message = of_result("toy replay 2024-01-07", "toy", found)
    assert message and message.kind is Kind.late_data
    assert message.happened == (
        "rows of weighings were mended; 2 published days became different: 2024-01-05 to 2024-01-06"
    )
    assert of_result("toy replay 2024-01-07", "toy", found.model_copy(update={"different": ()})) is None

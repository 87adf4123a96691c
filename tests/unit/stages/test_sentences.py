from typing import Any

import pytest

from contrail.stages.results import (
    CopiedTable,
    GovernDetails,
    LateDetails,
    LateResult,
    PromoteDetails,
    PublishDetails,
    RecordedEvidence,
    StageDetails,
    StageResult,
    TrainDetails,
)
from contrail.stages.sentences import sentence

TRAINED = TrainDetails(
    model_name="toy", model_version="3", mlflow_run="", rounds=40, device="cpu", workers=1, training_set_md5="",
    model_sha256="", validation={}, baselines={},
)  # fmt: skip
GOVERNED: dict[str, Any] = {"trigger": None, "model_version": None, "evidence": RecordedEvidence()}


def promoted(verdict: Any, before: str | None) -> PromoteDetails:
    return PromoteDetails(model_name="toy", model_version="3", verdict=verdict, champion_before=before, metrics={})


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (StageDetails(), "1,234 rows, 5 in quarantine"),
        (TRAINED, "version 3 of toy, 40 rounds on cpu"),
        (TRAINED.model_copy(update={"model_version": None}), "a model that is not registered of toy"),
        (promoted("pass", "2"), "version 3 is champion in place of version 2"),
        (promoted("pass", None), "version 3 is champion,"),
        (promoted("waits", "2"), "version 3 waits for an approver"),
        (promoted("refused", "2"), "version 3 is refused"),
        (GovernDetails(decision="hold", reasons=("no drift", "no decay"), **GOVERNED), "hold; no drift; no decay"),
        (PublishDetails(tables={"drift": CopiedTable(rows=1, partitions=("a", "b"), lake_snapshot=1)}), "drift 2 days"),
        (PublishDetails(tables={"drift": CopiedTable(rows=0, partitions=(), lake_snapshot=1)}), "unchanged"),
    ],
)
def test_what_a_stage_did(details: StageDetails, said: str) -> None:
    result = StageResult(
        stage="verb", pipeline="toy", partitions="2024-01-05", run_id="r", rows=1234, quarantined=5, details=details
    )
    assert sentence("verb", result).startswith(f"verb 2024-01-05: {said}")


def test_late_files() -> None:
    assert sentence("late", LateResult(details=LateDetails())) == "late: no file came late"
    found = LateDetails(files=("a", "b"), days=("2024-01-05",))
    assert sentence("late", LateResult(details=found)) == "late: 2 files came late; 1 days are different now"

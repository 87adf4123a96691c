from typing import Any

import pytest

from contrail.stages.details import StageDetails, TuneDetails
from contrail.stages.results import (
    CopiedTable,
    GovernDetails,
    LateDetails,
    LateResult,
    MaintainDetails,
    MaintainResult,
    PromoteDetails,
    PublishDetails,
    RecordedEvidence,
    Removed,
    StageResult,
    TrainDetails,
)
from contrail.stages.sentences import sentence

TRAINED = TrainDetails(
    model_name="toy", model_version="3", mlflow_run="", rounds=40, device="cpu", workers=1, training_set_md5="",
    model_sha256="", validation={}, baselines={},
)  # fmt: skip
GOVERNED: dict[str, Any] = {"trigger": None, "model_version": None, "evidence": RecordedEvidence()}


TUNED = TuneDetails(
    model_name="toy", study="S", trials=4, wanted=5, stopped=1, best=2, params={"eta": 0.1}, metric="log_loss", value=0.5,
    today=0.6, gain=(0.1, 0.05, 0.15), mlflow_run="R",
)  # fmt: skip


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
        (
            TUNED,
            "4 of 5 trials; trial 2 is the best, log_loss 0.5000, better than today's parameters by 0.1000 [0.0500, 0.1500]",
        ),
        (TUNED.model_copy(update={"model_version": "3"}), "4 of 5 trials; trial 2 is the best,"),
        (
            TUNED.model_copy(update={"best": 0}),
            "4 of 5 trials; none is better than today's parameters, log_loss 0.6000",
        ),
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


def test_upkeep() -> None:
    def said(*removed: Removed, dry_run: bool = False) -> str:
        details = MaintainDetails(dry_run=dry_run, removed=removed)
        return sentence("maintain", MaintainResult(pipeline="toy", details=details))

    small, large = Removed(of="staging", files=1, size=45), Removed(of="features", files=1_200, size=2_500_000)
    nothing = Removed(of="tmp", files=0, size=0)
    assert said(nothing) == "maintain: there was nothing to remove"
    assert said(nothing, dry_run=True) == "maintain: nothing would go"
    parts = "features 1,200 files (2.5 MB), staging 1 file (45 bytes)"
    assert said(small, nothing, large) == f"maintain: 1,201 files (2.5 MB) went: {parts}"
    compacted = MaintainDetails(compacted=(large,))
    assert sentence("maintain", MaintainResult(pipeline="toy", details=compacted)).endswith(
        "nothing to remove; 1,200 small files of features became fewer"
    )
    assert said(small, large, dry_run=True) == f"maintain: 1,201 files (2.5 MB) would go: {parts}"

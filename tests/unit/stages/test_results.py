"""Results come back from their JSON as they were, and an unknown key is refused."""

import json
from typing import Any

import pytest

from contrail.errors import DataError
from contrail.stages.details import StageDetails
from contrail.stages.results import (
    RESULTS,
    DriftDetails,
    LateDetails,
    LateResult,
    PerformanceDetails,
    ScoreDetails,
    ShadowScoring,
    StageResult,
    parse_result,
)

SCORED = ScoreDetails(
    model_name="toy", model_version="1", feature_snapshot=7, without_entities=("2024-02-12",), predict_seconds=1.5,
    shadow=ShadowScoring(),
)  # fmt: skip


def result(details: StageDetails) -> StageResult[Any]:
    return StageResult(
        stage="score", pipeline="toy", partitions="2024-02-10", run_id="r1", rows=60, snapshots={"predictions": 8},
        details=details, reports=("page.html",), seconds=2.5,
    )  # fmt: skip


def test_the_json_has_every_key_in_this_order() -> None:
    assert json.dumps(result(SCORED).as_dict()) == (
        '{"stage": "score", "pipeline": "toy", "partitions": "2024-02-10", "run_id": "r1", "rows": 60, '
        '"quarantined": 0, "unchanged": false, "snapshots": {"predictions": 8}, "details": {"model_name": "toy", '
        '"model_version": "1", "feature_snapshot": 7, "without_entities": ["2024-02-12"], "predict_seconds": 1.5, '
        '"shadow": {}}, "reports": ["page.html"], "seconds": 2.5}'
    )


@pytest.mark.parametrize(
    "shadow",
    [
        ShadowScoring(),
        ShadowScoring(model_version="2", rows=60),
        ShadowScoring(model_version="2", skipped="it does not fit"),
    ],
)
def test_a_result_is_the_same_after_its_way_through_json(shadow: ShadowScoring) -> None:
    made = result(SCORED.model_copy(update={"shadow": shadow}))
    read = parse_result("score", json.loads(json.dumps(made.as_dict())))
    assert read.details == made.details
    assert json.dumps(read.as_dict()) == json.dumps(made.as_dict())


def test_what_was_not_measured_has_no_key() -> None:
    assert PerformanceDetails(measured=0, immature=()).as_dict() == {"measured": 0, "immature": []}
    measured = PerformanceDetails(measured=1, immature=(), without_predictions=())
    assert measured.as_dict() == {"measured": 1, "immature": [], "without_predictions": []}


def test_late_data_says_its_details_alone() -> None:
    late = LateResult(details=LateDetails(files=("weighings 2024-01-04",)))
    assert list(late.as_dict()) == ["details"]
    assert parse_result("late", late.as_dict()).details == late.details


def test_the_cost_of_a_remote_job_is_read_with_its_result() -> None:
    cost = {"amount": None, "estimate": 0.5, "currency": "USD"}
    read = parse_result("score", {**result(SCORED).as_dict(), "cost": cost})
    assert read.cost and (read.cost.estimate, read.as_dict()["cost"]) == (0.5, cost)


def test_a_result_of_another_version_is_refused_and_its_keys_are_named() -> None:
    values = result(SCORED).as_dict()
    values["details"]["shadows"] = values["details"].pop("shadow")
    with pytest.raises(DataError, match=r"the result of score is not valid(.|\n)*details\.shadow: Field required"):
        parse_result("score", values)
    with pytest.raises(DataError, match=r"details\.shadows: unknown key; did you mean 'shadow'\?"):
        parse_result("score", values)


def test_nothing_in_a_result_can_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        result(SCORED).seconds = 3.0
    with pytest.raises(ValueError, match="frozen"):
        SCORED.model_version = "2"


def test_every_stage_has_a_model_of_its_own() -> None:
    fields = [model.model_fields for model in RESULTS.values()]
    details = [found["details"].annotation for found in fields if "details" in found]
    assert len(set(details)) == len(RESULTS) - 1 == 14, "a rollback has nothing but its own part"
    assert DriftDetails in details

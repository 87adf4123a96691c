import json
from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError
from tests.judged import model_sums

from contrail.config.model_spec import GateSpec
from contrail.methods.decision_record import (
    DecisionProvenance,
    DecisionRecord,
    DecisionWindow,
    JudgedModel,
    segment_rows,
)
from contrail.methods.gates import Evidence, ShadowDay

PROVENANCE = DecisionProvenance(
    model="toy version 7",
    model_sha256="abc",
    mlflow_run="m1",
    training_features_snapshot=1,
    training_set_md5="d41d",
    training_code_revision="e5",
    judged_on={"features": 2, "validated_deliveries": None},
    code_revision="e6",
    pipeline_hash="f1",
    lock_hash="f2",
)
RECORD = DecisionRecord(
    pipeline="toy",
    title="Late parcels",
    version="7",
    verdict="pass",
    in_shadow=False,
    summary="every check passed",
    reasons=(),
    decided_at="2024-03-10T00:00:00+00:00",
    run_id="r1",
    person="ann",
    reason=None,
    window=DecisionWindow(start=date(2024, 2, 11), end=date(2024, 3, 9), days=28, rows=1680),
    gate=GateSpec(),
    challenger=JudgedModel(
        version="7", training_window="2024-01-01..2024-02-09", training_rows=2387, rounds=18, model_sha256="abc"
    ),
    champion=None,
    checks=(),
    metric_names=("auc",),
    metrics={"challenger": {"auc": 0.7}},
    shadow=(ShadowDay(date(2024, 3, 1), 60, 0.4, 0.5),),
    segments={},
    provenance=PROVENANCE,
)


def test_the_json_of_a_record_is_read_back_as_the_same_record():
    kept = json.dumps(RECORD.model_dump(mode="json"), indent=1)
    assert DecisionRecord.model_validate(json.loads(kept)) == RECORD


def test_dates_and_tables_are_written_flat_and_in_order():
    kept = RECORD.model_dump(mode="json")
    assert list(kept)[:3] == ["format", "pipeline", "title"]
    assert kept["window"] == {"start": "2024-02-11", "end": "2024-03-09", "days": 28, "rows": 1680, "immature": []}
    assert kept["shadow"] == [{"day": "2024-03-01", "rows": 60, "challenger": 0.4, "champion": 0.5}]
    assert list(kept["provenance"])[5:8] == [
        "training_code_revision",
        "judged_on_features_snapshot",
        "judged_on_validated_deliveries_snapshot",
    ]
    assert kept["provenance"]["judged_on_validated_deliveries_snapshot"] is None


def record_of_before(**gate) -> DecisionRecord:
    """A record as it was kept before the gate had policies."""
    kept = RECORD.model_dump(mode="json")
    kept.pop("weighed", None)
    kept["gate"] = {name: value for name, value in kept["gate"].items() if "share" not in name and name != "policy"}
    return DecisionRecord.model_validate({**kept, "gate": kept["gate"] | {"max_calibration_share": 1.5} | gate})


def test_a_record_from_before_there_were_policies_names_the_one_that_decided_it():
    assert record_of_before().gate.policy == "superior"
    assert record_of_before(min_improvement=-0.05).gate.policy == "not_worse"
    assert "weighed" not in record_of_before().model_dump(mode="json")


@pytest.mark.parametrize("change", [{"window": {}}, {"verdict": "maybe"}, {"verdct": "pass"}])
def test_a_record_that_lacks_something_or_has_more_is_none(change):
    with pytest.raises(ValidationError):
        DecisionRecord.model_validate({**RECORD.model_dump(mode="json"), **change})


def test_only_large_groups_are_shown_the_largest_first_with_defined_metrics():
    sizes = {"small": 19, "middle": 20, "large": 40}
    groups = np.repeat(np.array(list(sizes), object), list(sizes.values()))
    labels = (np.arange(len(groups)) % 2).astype(float)
    labels[groups == "large"] = 1.0
    rows = (np.full(len(groups), np.datetime64("2024-03-01")), labels)
    evidence = Evidence(
        challenger=model_sums("binary", *rows, np.full(len(groups), 0.6), {"depot": groups}),
        champion=None,
        constant=model_sums("binary", *rows, np.full(len(groups), 0.5)),
        rate_table=None,
    )
    large, middle = segment_rows(evidence, "depot")
    assert [(row.group, row.rows, row.label_mean) for row in (large, middle)] == [
        ("large", 40, 1.0),
        ("middle", 20, 0.5),
    ]
    assert "auc" not in large.challenger, "one class has no AUC"
    assert middle.challenger["auc"] == 0.5
    assert large.champion == {}

import pytest
from pydantic import ValidationError

from contrail.stages.details import PromoteDetails

WAITS = PromoteDetails(
    record="words", model_name="toy", model_version="2", verdict="waits", champion_before=None, metrics={}
)


def test_the_record_is_there_only_when_somebody_is_to_answer():
    assert next(iter(WAITS.model_dump(mode="json"))) == "record"
    decided = WAITS.model_copy(update={"record": None, "verdict": "pass"}).model_dump(mode="json")
    assert decided == {
        "model_name": "toy", "model_version": "2", "verdict": "pass", "champion_before": None, "metrics": {}
    }  # fmt: skip


def test_an_unknown_detail_is_refused():
    with pytest.raises(ValidationError):
        PromoteDetails.model_validate({**WAITS.model_dump(), "versoin": "2"})

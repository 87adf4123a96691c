"""What a feature means is read alone: on a card, in an answer, beside a score. There no other line stands before it."""

import re

import pytest
from tests.conftest import PROJECT

from contrail.config.spec import load_spec

# Words for what another line has named.
_POINTING = re.compile(
    r"^(Its|Their|The same|That|Those|These|This)\b|\bit then\b|\b(that|those) (aircraft|flights|evening)\b"
)


@pytest.mark.parametrize("name", ["flight_delay", "bike_demand"])
def test_the_meaning_of_a_feature_stands_alone(name: str) -> None:
    spec = load_spec(PROJECT / "include" / "pipelines" / name / "pipeline.yaml")
    meanings = {feature: column.doc for feature, column in spec.features.columns.items()}
    assert {feature: doc for feature, doc in meanings.items() if _POINTING.search(doc)} == {}
    assert {
        feature: doc for feature, doc in meanings.items() if any(other in doc for other in meanings if "_" in other)
    } == {}
    assert len(set(meanings.values())) == len(meanings), "two features with one meaning"

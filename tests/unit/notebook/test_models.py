"""A notebook's model predicts what is published, and its decision is the approver's."""

import numpy as np
import pytest
from tests.conftest import Toy

from contrail.methods.decision_record import DecisionRecord
from contrail.notebook.models import Decision
from contrail.notebook.opened import OpenPipeline


def test_predictions_are_the_published_ones(parcels: OpenPipeline) -> None:
    days = "2024-02-25..2024-03-02"
    features, published = (parcels.table(name, days=days).pandas() for name in ("features", "predictions"))
    for rows in (features, parcels.table("features", days=days), parcels.table("features", days=days).arrow()):
        assert parcels.model(1).predict(rows).tolist() == published["probability"].tolist()


def test_contributions_sum_to_the_score(parcels: OpenPipeline) -> None:
    rows = parcels.table("features", days="2024-03-01")
    model = parcels.model("champion")
    odds = np.log(model.predict(rows) / (1 - model.predict(rows)))
    assert model.contributions(rows).to_pandas().sum(axis=1).to_numpy() == pytest.approx(odds, abs=1e-4)
    assert model.booster.num_boosted_rounds() == model.card.training.rounds


def test_a_decision_is_shown_in_a_frame_without_scripts(parcels: OpenPipeline, scored: Toy) -> None:
    decision = parcels.decision(1)
    assert isinstance(decision.record, DecisionRecord)
    assert "It becomes champion" in repr(decision)
    hostile = decision.record.model_copy(update={"title": '"><script>alert(1)</script>'})
    page = Decision(hostile)._repr_html_()
    assert page.startswith("<iframe sandbox srcdoc=")
    assert page.count('"') == 4, "the page cannot leave its attribute"

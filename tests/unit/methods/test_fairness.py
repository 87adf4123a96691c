import numpy as np
import pytest

from contrail.methods.fairness import MEANINGS, fairness_by_group

DAYS = np.repeat(np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]"), 60)
ROWS = len(DAYS)


def made(seed: int = 0, biased: float = 0.0):
    """Two groups with the same labels. Predictions of B are too high by ``biased``."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["A", "B"], ROWS).astype(object)
    true = rng.uniform(0.1, 0.6, ROWS)
    labels = (rng.random(ROWS) < true).astype(float)
    return labels, np.clip(true + biased * (names == "B"), 0, 1), names


def by_name(task="binary", biased=0.0, days=DAYS, rows=ROWS):
    labels, predictions, names = (values[:rows] for values in made(biased=biased))
    found = fairness_by_group(task, labels, predictions, days[:rows], 0.4, "depot", names)
    return {group.name: group for group in found.groups}


def test_rates_and_errors_are_those_of_the_rows():
    labels, predictions, names = made()
    own, flagged = names == "A", predictions >= 0.4
    found = {name: one.value for name, one in by_name()["A"].measures.items()}
    late, in_time = own & (labels == 1), own & (labels == 0)
    assert found["flagged"] == pytest.approx(flagged[own].mean())
    assert found["false_positives"] == pytest.approx(flagged[in_time].mean())
    assert found["false_negatives"] == pytest.approx(1 - flagged[late].mean())
    assert found["precision"] == pytest.approx(labels[own & flagged].mean())
    assert found["bias"] == pytest.approx((predictions - labels)[own].mean())
    assert set(found) <= set(MEANINGS)


def test_a_group_that_is_flagged_without_need_stands_out_and_an_equal_one_does_not():
    biased, equal = by_name(biased=0.25)["B"], by_name()["B"]
    assert biased.differences["flagged"].sure
    assert biased.differences["flagged"].value > 0.2
    assert biased.differences["false_positives"].sure
    assert not biased.differences["label_mean"].sure
    assert not any(equal.differences[name].sure for name in ("flagged", "bias", "label_mean"))


def test_a_difference_is_the_group_less_all_other_rows():
    found = by_name(biased=0.1)
    for name in ("flagged", "bias", "precision"):
        assert found["A"].differences[name].value == pytest.approx(
            found["A"].measures[name].value - found["B"].measures[name].value
        )


def test_a_regression_has_errors_and_no_flags():
    found = by_name("regression")["A"]
    assert set(found.measures) == {"label_mean", "prediction_mean", "bias", "mae", "calibration_error"}
    assert found.measures["mae"].low < found.measures["mae"].value < found.measures["mae"].high


def test_few_days_have_no_interval_and_nothing_is_sure():
    few = by_name(biased=0.3, rows=240)
    assert few["B"].measures["flagged"].low is None
    assert not any(one.sure for one in few["B"].differences.values())


def test_what_is_not_defined_is_left_out():
    labels, predictions, names = made()
    found = fairness_by_group("binary", np.zeros(ROWS), predictions * 0, DAYS, 0.4, "depot", names)
    assert "precision" not in found.groups[0].measures
    assert "false_negatives" not in found.groups[0].measures
    alone = fairness_by_group("binary", labels, predictions, DAYS, 0.4, "depot", np.full(ROWS, "A", object))
    assert alone.groups[0].differences == {}

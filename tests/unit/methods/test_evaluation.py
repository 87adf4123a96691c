import numpy as np
import pytest
from tests.judged import model_sums

from contrail.methods.evaluation import MONTH, Sample, Validation, evaluate_training


def validation_of(days: np.ndarray, labels: np.ndarray, groups: np.ndarray, *predictions: np.ndarray) -> Validation:
    months = np.array([str(day)[:7] for day in days], object)
    model, *baselines = predictions
    return Validation(
        "binary",
        model_sums("binary", days, labels, model, {"depot": groups, MONTH: months}),
        *(model_sums("binary", days, labels, own) for own in baselines),
        Sample(labels, *predictions[:2]),
    )


def validation() -> Validation:
    """Sixty rows of January and forty of February; depot A has 60 of them, B 40."""
    rows = np.arange(100)
    labels = (rows % 2).astype(float)
    return validation_of(
        np.where(rows < 60, np.datetime64("2024-01-31"), np.datetime64("2024-02-01")),
        labels,
        np.where(rows < 60, "A", "B").astype(object),
        0.3 + 0.4 * labels,
        0.4 + 0.2 * labels,
        np.full(100, 0.5),
    )


def test_each_model_each_month_and_each_large_segment_is_measured():
    found = evaluate_training(validation())
    assert found.validation["log_loss"] == pytest.approx(-np.log(0.7))
    assert found.validation["log_loss"] < found.rate_table["log_loss"] < found.constant["log_loss"]
    assert {month: values["rows"] for month, values in found.by_month.items()} == {"2024-01": 60, "2024-02": 40}
    assert list(found.by_segment["depot"]) == ["A"], "fewer than 50 rows say little"


def test_flat_names_have_slashes_and_leave_undefined_metrics_out():
    found = evaluate_training(validation())
    flat = found.flat()
    assert next(iter(flat)) == "validation/auc"
    assert flat["by_segment/depot/A/auc"] == 1.0
    lone = found.model_copy(update={"by_month": {"2024-01": {"auc": float("nan"), "log_loss": 0.2}}})
    assert "by_month/2024-01/auc" not in lone.flat()
    assert lone.flat()["by_month/2024-01/log_loss"] == 0.2


def test_overall_metrics_leave_undefined_ones_out_too():
    found = evaluate_training(validation()).model_copy(update={"constant": {"auc": float("nan"), "log_loss": 0.7}})
    assert list(found.overall()) == ["validation", "rate_table", "constant"]
    assert found.overall()["constant"] == {"log_loss": 0.7}


def test_the_headline_has_the_models_number_beside_the_baselines():
    line = evaluate_training(validation()).headline("binary")
    assert line == "validation log_loss 0.3567, AUC 1.000 (rate table 0.5108, constant 0.6931)"


def test_any_value_of_a_segment_has_its_own_name():
    hostile = ["", ".", "..", "a/b", "a?b", "a*b", "x" * 260, "x" * 261, "\n", None]
    groups = np.repeat(np.array(hostile, object), 60)
    rows = len(groups)
    labels = (np.arange(rows) % 2).astype(float)
    found = evaluate_training(
        validation_of(
            np.full(rows, np.datetime64("2024-01-31")),
            labels,
            groups,
            0.3 + 0.4 * labels,
            np.full(rows, 0.5),
            np.full(rows, 0.5),
        )
    )
    names = {name for name in found.flat() if name.startswith("by_segment/")}
    assert {name.count("/") for name in names} == {3}
    assert len({name.split("/")[2] for name in names}) == len(hostile)

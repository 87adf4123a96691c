import numpy as np
import pytest
from tests.unit.methods.test_model_package import CATEGORIES, NAMES, made_features, package

from contrail.methods.encoded_rows import EncodedRows
from contrail.methods.explanations import LINES, explain_model, explained_sample
from contrail.methods.matrices import TrainingRows

__all__ = ["package"]  # a fixture


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    encoded = EncodedRows(NAMES, CATEGORIES)
    for _ in range(3):
        encoded.append(made_features())
    return TrainingRows(encoded, np.zeros(1200, np.float32))


def explained(package, rows, hidden=frozenset()):
    return explain_model(package, explained_sample(package, rows), hidden)


def test_the_same_model_and_rows_give_the_same_numbers(package, rows):
    assert explained(package, rows) == explained(package, rows)


def test_effects_are_the_mean_absolute_contributions_largest_first(package, rows):
    found = explained(package, rows)
    sizes = np.abs(package.contributions(made_features())[:, :4]).mean(axis=0)
    assert found.rows == 1200, "all of them, as there are fewer than the sample"
    assert {one.feature: pytest.approx(one.size, rel=1e-5) for one in found.effects} == {
        name: size for name, size in zip(NAMES, sizes, strict=True) if size > 0
    }
    assert [one.size for one in found.effects] == sorted((one.size for one in found.effects), reverse=True)
    assert all(sum(one.counts) == found.rows for one in found.effects)
    assert len(found.effects) + found.others == len(NAMES)


def test_the_level_says_whether_the_feature_was_high(package, rows):
    weight = next(one for one in explained(package, rows).effects if one.feature == "weight")
    known = [level for level in weight.levels if level is not None]
    assert known[0] < 0.5 < known[-1], "a heavier parcel has the label more often"
    depot = [one for one in explained(package, rows).effects if one.feature == "depot"]
    assert all(level is None for one in depot for level in one.levels)


def test_dependence_is_the_mean_prediction_with_one_feature_set(package, rows):
    found = {one.feature: one for one in explained(package, rows).dependences}
    weight = found["weight"]
    assert list(weight.points) == sorted(weight.points)
    assert weight.mean[-1] > weight.mean[0]
    assert all(
        low <= mean <= high or low == high for low, mean, high in zip(weight.low, weight.mean, weight.high, strict=True)
    )
    assert len(weight.lines) == LINES
    assert len({len(weight.points), *map(len, weight.lines), len(weight.mean)}) == 1
    assert weight.missing is None
    if "depot" in found:
        assert set(found["depot"].points) <= {"A", "B", "C"}
    if "late_rate_7d" in found:
        assert found["late_rate_7d"].missing is not None


def test_what_people_may_not_see_has_no_dependence(package, rows):
    found = explained(package, rows, frozenset({"weight"}))
    assert "weight" not in {one.feature for one in found.dependences}
    assert "weight" in {one.feature for one in found.effects}, "its size tells no value"


def test_a_model_that_uses_nothing_is_explained(package, rows, monkeypatch):
    monkeypatch.setattr(type(package), "contributions_matrix", lambda _, matrix: np.zeros((len(matrix), 5), np.float32))
    found = explained(package, rows)
    assert (found.effects, found.dependences, found.others) == ((), (), 4)


def test_a_feature_without_a_value_in_the_sample_has_no_dependence(package):
    encoded = EncodedRows(NAMES, CATEGORIES)
    features = made_features()
    encoded.append(features.set_column(1, "weight", [[None] * 400]))
    found = explained(package, TrainingRows(encoded, np.zeros(400, np.float32)))
    assert "weight" not in {one.feature for one in found.dependences}

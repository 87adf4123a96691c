"""Where scores start before the trees, and what a model makes of it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.test_model_package import made_features, package  # noqa: F401 - a fixture

from contrail.config.model_spec import OffsetSpec, TrainSpec
from contrail.errors import SpecError
from contrail.methods import encoded_rows
from contrail.methods.boosting import Checkpoint
from contrail.methods.encoded_rows import EncodedRows
from contrail.methods.fit import Fitted, Method, booster_params, fit_trees, predict_unseen
from contrail.methods.matrices import TrainingRows, predict, with_offset
from contrail.methods.model_package import ModelPackage
from contrail.methods.offset import Offset

LEVEL = OffsetSpec(feature="level", weight=0.5)
TRAIN = TrainSpec(rounds=20, early_stopping_rounds=5, device="cpu", offset=LEVEL, params={"max_depth": 2, "nthread": 1})
FIRST = np.arange(3000) < 2000


def log_odds(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


def made_rows(
    task: str = "binary", low: float = 0.1, high: float = 0.3, train: TrainSpec = TRAIN, scale: int = 1
) -> TrainingRows:
    """Rows of a level between ``low`` and ``high``, times ``scale``, and of a feature ``x``."""
    rng = np.random.default_rng(0)
    level, x = rng.uniform(low, high, 3000), rng.normal(size=3000)
    p = 1 / (1 + np.exp(-(log_odds(level) + x)))
    labels = rng.random(3000) < p if task == "binary" else 100 * level + x
    encoded = EncodedRows(("x", "level"), {})
    encoded.append(pa.table({"x": x, "level": scale * level if task == "binary" else 100 * level}))
    return with_offset(TrainingRows(encoded, np.asarray(labels, np.float32)), train, task)  # type: ignore[arg-type]


def fitted(rows: TrainingRows, task: str = "binary", train: TrainSpec = TRAIN) -> Fitted:
    return fit_trees(rows, FIRST, ~FIRST, Method(train, booster_params(task, train)))


def test_a_start_lies_its_weight_of_the_way_from_the_mean_label_to_the_value():
    offset = Offset.of(LEVEL, "binary", 0.2)
    values = np.array([0.2, 0.5, np.nan, 0.0], np.float32)
    middle = (log_odds(0.2) + log_odds(0.5)) / 2
    lowest = (log_odds(0.2) + log_odds(0.01)) / 2  # a share of 0 counts as 1 %
    np.testing.assert_allclose(offset.starts(values), [log_odds(0.2), middle, log_odds(0.2), lowest], rtol=1e-6)


def test_a_regression_starts_in_label_units():
    offset = Offset.of(LEVEL, "regression", 100.0)
    assert offset.starts(np.array([140, np.nan], np.float32)).tolist() == [120.0, 100.0]


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_model_follows_a_level_that_its_training_did_not_have(task):
    """Trees alone keep the highest level that they know."""
    train = TRAIN.model_copy(update={"offset": LEVEL.model_copy(update={"weight": 1.0})})
    later, alone, errors = made_rows(task, 0.6, 0.7), TRAIN.model_copy(update={"offset": None}), []
    for settings in (train, alone):
        rows = made_rows(task, train=settings)
        model = fitted(rows, task, settings)
        found = predict(model.checked, replace(later, offset=rows.offset), np.ones(3000, bool))
        errors.append(abs(float(later.labels.mean() - found.mean())))
    assert errors[0] < 0.4 * errors[1]


def test_trees_in_memory_in_batches_and_on_disk_are_the_same(monkeypatch):
    whole = fitted(made_rows()).model
    monkeypatch.setattr(encoded_rows, "BLOCK_ROWS", 700)
    assert fitted(made_rows()).model == whole
    assert fitted(replace(made_rows(), external_memory=True)).model == whole


def test_trees_never_split_by_the_value_that_scores_start_from():
    assert fitted(made_rows()).importance["level"] == 0
    alone = TRAIN.model_copy(update={"offset": None})
    assert fitted(made_rows(train=alone), train=alone).importance["level"] > 0


def test_a_binary_task_starts_from_a_share_and_from_nothing_else():
    with pytest.raises(SpecError, match=r"train.offset: 'level' has values from 0 to 29\.\d+ in the training window"):
        made_rows(scale=100)
    rows = made_rows()
    assert with_offset(replace(rows, offset=None), TRAIN, "regression").offset
    encoded = EncodedRows(("level",), {})
    encoded.append(pa.table({"level": [0.0, None, 1.0]}))
    assert with_offset(TrainingRows(encoded, np.zeros(3, np.float32)), TRAIN, "binary").offset


def test_an_interrupted_training_goes_on_from_the_same_starts():
    class Kept:
        """Keeps the first checkpoint of the fit, as if the process had died after it."""

        found: Checkpoint | None = None

        def load(self, name: str) -> Checkpoint | None:
            return self.found if name == "fit" else None

        def save(self, name: str, checkpoint: Checkpoint) -> None:
            self.found = self.found or checkpoint

    train, kept = TRAIN.model_copy(update={"checkpoint_rounds": 4}), Kept()
    method = Method(train, booster_params("binary", train))
    whole = fit_trees(made_rows(), FIRST, ~FIRST, method, kept)
    assert kept.found
    assert fit_trees(made_rows(), FIRST, ~FIRST, method, kept).model == whole.model


def test_unseen_rows_are_predicted_from_their_starts():
    rows = made_rows()
    params = {**booster_params("binary", TRAIN), "device": "cpu"}
    found = predict_unseen(rows, np.arange(3000) % 2, params, 1)
    start = 1 / (1 + np.exp(-rows.starts(rows.encoded.read(0))))
    assert np.corrcoef(found, start)[0, 1] > 0.5
    assert abs(found - start).max() < 0.2


@pytest.fixture
def moved(package: ModelPackage) -> ModelPackage:  # noqa: F811
    offset = Offset(feature="late_rate_7d", weight=0.5, task="binary", centre=-1.0)
    return replace(package, card=package.card.model_copy(update={"offset": offset}))


def test_contributions_add_up_and_the_feature_has_its_part_of_the_start(moved, package):  # noqa: F811
    rows = made_features()
    found, plain = moved.contributions(rows), package.contributions(rows)
    np.testing.assert_allclose(found.sum(axis=1), log_odds(moved.predict(rows)), atol=1e-4)
    starts = moved.starts(moved.matrix(rows))
    at = moved.features.index("late_rate_7d")
    np.testing.assert_allclose(found[:, at], plain[:, at] + starts + 1, atol=1e-6)
    assert np.ptp(found[:, -1]) < 1e-6  # the mean of the trees, and of the starts, is one for all rows
    others = [n for n in range(4) if n != at]
    np.testing.assert_array_equal(found[:, others], plain[:, others])


def test_a_package_keeps_its_offset_and_one_without_has_the_bytes_that_it_had(moved, package, tmp_path):  # noqa: F811
    moved.save(tmp_path / "moved")
    loaded = ModelPackage.load(tmp_path / "moved")
    np.testing.assert_array_equal(loaded.predict(made_features()), moved.predict(made_features()))
    assert b"offset" not in package.files()["model.json"]
    assert moved.digest != package.digest

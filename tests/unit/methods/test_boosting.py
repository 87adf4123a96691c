"""A training in parts ends with the same trees, wherever an interruption falls."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from contrail.config.model_spec import TrainSpec
from contrail.methods.boosting import Boosting, Checkpoint, NoCheckpoints, best_round, boost
from contrail.methods.encoded_rows import EncodedRows
from contrail.methods.matrices import TrainingRows
from contrail.methods.trainer import ThisProcess

ROUNDS = 47
PARAMS: dict[str, Any] = {
    "objective": "binary:logistic", "eval_metric": "logloss", "tree_method": "hist", "nthread": 1, "seed": 3,
    "max_depth": 3, "eta": 0.3, "subsample": 0.7, "colsample_bytree": 0.5,
}  # fmt: skip


class KilledError(Exception):
    """The machine is gone."""


@dataclass
class Memory:
    """Keeps checkpoints; after ``killed_after`` of them the process dies."""

    killed_after: int = 10**6
    kept: dict[str, Checkpoint] = field(default_factory=dict)
    saved: int = 0

    def load(self, name: str) -> Checkpoint | None:
        return self.kept.get(name)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        self.kept[name] = checkpoint
        self.saved += 1
        if self.saved >= self.killed_after:
            raise KilledError


def made_rows() -> TrainingRows:
    random = np.random.default_rng(0)
    x = random.normal(size=(900, 8)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + random.normal(size=900) > 0).astype(np.float32)
    names = tuple("abcdefgh")
    encoded = EncodedRows(names, {})
    encoded.append(pa.table(dict(zip(names, x.T, strict=True))))
    return TrainingRows(encoded, y)


ROWS, FIRST = made_rows(), np.arange(900) < 600


def matrices() -> tuple[xgboost.QuantileDMatrix, xgboost.QuantileDMatrix]:
    first, last = (next(ROWS.batches(chosen)) for chosen in (FIRST, ~FIRST))
    names = {"feature_names": list(ROWS.names), "feature_types": ["q"] * 8}
    data = xgboost.QuantileDMatrix(*first, **names)
    return data, xgboost.QuantileDMatrix(*last, ref=data, **names)


def train(checkpoints: Any, part: int, patience: int = 1000, **changed: Any) -> tuple[bytes, dict[str, Any]]:
    spec, params = TrainSpec(checkpoint_rounds=part, early_stopping_rounds=patience), {**PARAMS, **changed}
    with ThisProcess().holding(ROWS, FIRST, params, ~FIRST) as grow:
        booster, history = boost(Boosting("fit", ROUNDS, checked=True), params, grow, spec, checkpoints)
    return bytes(booster.save_raw("ubj")), history


@pytest.mark.parametrize("part", [1, 10, 46])
@pytest.mark.parametrize("patience", [1000, 6])
def test_killed_after_any_checkpoint_the_trees_are_the_same(part: int, patience: int) -> None:
    whole = train(Memory(), part, patience)
    memory = Memory()
    train(memory, part, patience)
    for killed_after in range(1, memory.saved + 1, max(1, memory.saved // 4)):
        memory = Memory(killed_after)
        with pytest.raises(KilledError):
            train(memory, part, patience)
        memory.killed_after = 10**6
        assert train(memory, part, patience) == whole


def test_without_checkpoints_it_is_what_xgboost_itself_trains() -> None:
    data, validation = matrices()
    history: dict[str, Any] = {}
    plain = xgboost.train(
        PARAMS, data, ROUNDS, evals=[(data, "fit"), (validation, "validation")], evals_result=history,
        early_stopping_rounds=6, verbose_eval=False,
    )  # fmt: skip
    model, ours = train(NoCheckpoints(), 0, patience=6)
    assert ours == history
    assert best_round(ours) == plain.best_iteration < ROUNDS - 7
    plain.set_attr(**dict.fromkeys(plain.attributes()))
    assert model == bytes(plain.save_raw("ubj"))


def test_a_metric_that_is_better_when_larger_stops_as_xgboost_does() -> None:
    data, validation = matrices()
    params = {**PARAMS, "eval_metric": "auc"}
    plain = xgboost.train(
        params, data, ROUNDS, evals=[(data, "fit"), (validation, "validation")], early_stopping_rounds=6,
        verbose_eval=False,
    )  # fmt: skip
    _, history = train(NoCheckpoints(), 0, patience=6, eval_metric="auc")
    assert best_round(history) == plain.best_iteration
    assert len(history["validation"]["auc"]) == plain.num_boosted_rounds()


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    memory = Memory()
    train(memory, 0)
    assert memory.saved == 0

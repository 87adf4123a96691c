"""Fit gradient-boosted trees on a window of rows. On a CPU the same rows and parameters give the same bytes.

The functions take rows and return trees. Reading rows, growing trees on machines and storing models do not belong here.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from contrail.config.model_spec import TrainSpec
from contrail.config.processors import processors
from contrail.config.rules import training_problems
from contrail.config.spec import PipelineSpec
from contrail.config.tune_spec import Searched
from contrail.errors import SpecError
from contrail.methods.boosting import Boosting, Checkpoints, History, NoCheckpoints, Params, best_round, boost
from contrail.methods.encoded_rows import EveryRow, Rows
from contrail.methods.matrices import Floats, TrainingRows, predict
from contrail.methods.search import with_params
from contrail.methods.trainer import Device, ThisProcess, Trainer
from contrail.methods.xgboost_loading import load_xgboost

if TYPE_CHECKING:
    import xgboost

_OBJECTIVES = {
    "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
}
# Parameters that XGBoost knows but does not list in its configuration.
_UNLISTED = {"eval_metric", "objective", "verbosity", "base_score"}
# Settings of train that a request's own choices stand in for.
_UNHEARD = {
    "params": "name the parameters of XGBoost themselves, as eta=0.1",
    "window_days": "it is for scheduled trainings; give this one its first and last day, as --from and --to",
}


@dataclass(frozen=True)
class Method:
    """How to grow trees: the effective training settings, all of XGBoost's parameters, and the machines."""

    settings: TrainSpec
    params: Params
    trainer: Trainer = field(default_factory=ThisProcess)


@dataclass(frozen=True)
class Fitted:
    """The trees, and the number of rounds from early stopping. ``checked`` has the trees of the first fit alone."""

    model: bytes
    checked: "xgboost.Booster"
    rounds: int
    device: Device
    workers: int
    history: History
    importance: dict[str, float]


def override(train: TrainSpec, values: Mapping[str, Any]) -> TrainSpec:
    """Apply a scientist's changes to the training settings. Other names are parameters of XGBoost.

    Raises:
        SpecError: for a value of the wrong type.
    """
    settings = {name: value for name, value in values.items() if name in TrainSpec.model_fields and name != "params"}
    params = {name: value for name, value in values.items() if name not in TrainSpec.model_fields}
    merged = {**train.model_dump(), **settings, "params": {**train.params, **params}}
    try:
        return TrainSpec.model_validate(merged)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SpecError(f"training settings are wrong: {wrong}") from error


def requested(spec: PipelineSpec, values: Mapping[str, Any]) -> TrainSpec:
    """Apply a scientist's changes to a pipeline's training settings, by the rules that its file keeps.

    Raises:
        SpecError: for a value of the wrong type, or one that does not fit the rest of the spec, with its name; and for a
            setting that this training would not read.
    """
    if refused := [f"{name}: {why}" for name, why in _UNHEARD.items() if name in values]:
        raise SpecError(f"training settings are wrong: {'; '.join(refused)}")
    if "seed" in values and "seed" in spec.train.params:
        raise SpecError(
            "training settings are wrong: seed: train.params.seed of pipeline.yaml decides; use train.seed there"
        )
    settings = override(spec.train, values)
    found = training_problems(spec.model_copy(update={"train": settings}))
    if wrong := [f"{n}={values[n]}: {one.said}" for one in found for n in map(str, one.place) if n in values]:
        raise SpecError(f"training settings are wrong: {'; '.join(dict.fromkeys(wrong))}")
    return settings


def booster_params(task: str, train: TrainSpec) -> Params:
    """Return every parameter that the trees depend on, including the number of threads.

    Raises:
        SpecError: for a parameter that XGBoost does not know, with the nearest valid one. XGBoost would only warn.
    """
    params: Params = {
        **_OBJECTIVES[task],
        "tree_method": "hist",
        "nthread": processors(),
        "seed": train.seed,
        **train.params,
    }
    _refuse_unknown(params)
    return params


def check_space(task: str, train: TrainSpec, space: Mapping[str, Searched]) -> None:
    """Ask XGBoost for each value that a search may choose: every choice, and both ends of a range.

    Raises:
        SpecError: for a parameter that XGBoost does not know or a value that it refuses, with its name.
    """
    booster_params(task, train)  # a fault of the settings that every trial has is no value's of the search
    for name, searched in space.items():
        for value in searched.ends:
            try:
                booster_params(task, train.model_copy(update={"params": with_params(train.params, {name: value})}))
            except SpecError as error:
                raise SpecError(f"tune.search.{name}: {value}: {error}") from error


def _refuse_unknown(params: Params) -> None:
    load_xgboost()
    import xgboost

    example = xgboost.DMatrix(np.zeros((2, 1)), label=[0, 1])
    try:
        booster = xgboost.Booster({**params, "verbosity": 0}, [example])
        known = _names(json.loads(booster.save_config())) | _UNLISTED
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        reason = str(error).split("\nStack trace")[0].split(": ", 1)[-1].strip()
        raise SpecError(f"XGBoost refuses the training parameters: {reason}") from error
    for name in sorted(params.keys() - known):
        near = difflib.get_close_matches(name, sorted(known), 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise SpecError(f"XGBoost has no parameter '{name}'.{hint}")


def _names(config: Any) -> set[str]:
    if isinstance(config, list):
        return {name for entry in config for name in _names(entry)}
    if not isinstance(config, dict):
        return set()
    return set(config) | {name for entry in config.values() for name in _names(entry)}


def fit_trees(
    rows: TrainingRows,
    fit: Rows,
    validation: Rows,
    method: Method,
    checkpoints: Checkpoints | None = None,
    window: Rows | None = None,
) -> Fitted:
    """Fit trees with early stopping. With ``train.refit``, fit again on all rows with the rounds found.

    Args:
        rows: The whole training window.
        fit: The rows of the first fit.
        validation: The rows for early stopping.
        method: How to grow trees.
        checkpoints: The store from which an interrupted training continues. By default it starts again.
        window: The rows of ``train.refit``. By default all.
    """
    checkpoints, train, trainer = checkpoints or NoCheckpoints(), method.settings, method.trainer
    device = trainer.device(train.device, len(rows.labels))
    params = {**method.params, "device": device}
    with trainer.holding(rows, fit, params, validation) as grow:
        booster, history = boost(Boosting("fit", train.rounds, checked=True), params, grow, train, checkpoints)
    rounds = best_round(history) + 1
    booster = checked = booster[:rounds]
    if train.refit:
        with trainer.holding(rows, EveryRow() if window is None else window, params) as grow:
            booster, _ = boost(Boosting("refit", rounds), params, grow, train, checkpoints)
    # The booster's attributes name the machine and early stopping. With them equal trees would differ in their bytes.
    booster.set_attr(**dict.fromkeys(booster.attributes()))
    importance = importance_of(booster, rows.names)
    model = bytes(booster.save_raw("ubj"))
    return Fitted(model, checked, rounds, device, trainer.workers, history, importance)


def importance_of(booster: "xgboost.Booster", names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of the total gain. A feature that no tree uses has 0."""
    gains = {name: float(gain) for name, gain in booster.get_score(importance_type="total_gain").items()}
    total = sum(gains.values()) or 1.0
    return {name: gains.get(name, 0.0) / total for name in names}


def fit_unseen(
    rows: TrainingRows, others: Rows, params: Params, rounds: int, trainer: Trainer | None = None
) -> "xgboost.Booster":
    """Fit trees on the other rows than those that they are to predict, as the model would predict later days.

    Args:
        rows: The whole training window.
        others: The rows to learn from.
        params: The model's parameters, including ``device``.
        rounds: The model's number of rounds.
        trainer: The machines that grow the trees; by default this process.
    """
    with (trainer or ThisProcess()).holding(rows, others, params) as grow:
        booster, _ = grow(params, rounds, None, ())
    return booster


def predict_unseen(rows: TrainingRows, parts: npt.NDArray[np.int64], params: Params, rounds: int) -> Floats:
    """Predict each part of rows in memory by trees of the other parts. See ``fit_unseen``.

    Args:
        rows: The whole training window.
        parts: The number of each row's part. There are at least two parts.
        params: The model's parameters, including ``device``.
        rounds: The model's number of rounds.
    """
    predictions = np.empty(len(rows.labels))
    for part in np.unique(parts):
        own = parts == part
        predictions[own] = predict(fit_unseen(rows, ~own, params, rounds), rows, own)
    return predictions

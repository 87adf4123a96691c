"""What a search works with: its settings, its folds, the rows of the range, and how many trials run at a time."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from threading import Event
from typing import Any

from contrail.config.model_spec import TrainSpec
from contrail.config.processors import processors
from contrail.config.tune_spec import OTHER_NAMES, Searched, TuneSpec
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.files import digest
from contrail.methods.boosting import Params
from contrail.methods.encoded_rows import Rows
from contrail.methods.fit import booster_params, check_space, requested
from contrail.methods.folds import Fold, rolling_folds
from contrail.methods.held_bins import HeldBins
from contrail.methods.matrices import TrainingRows, with_offset
from contrail.methods.paired_days import FoldDays
from contrail.methods.search import Search, with_params
from contrail.methods.splits import within
from contrail.methods.trainer import Device, ThisProcess
from contrail.revision import lock_hash
from contrail.stages.base import StageRun
from contrail.stages.options import TrainOptions, TuneOptions
from contrail.stages.training.base import TrainingWindow
from contrail.stages.training.rows import check_labels, read_window

# Threads of a trial, where several run at a time. More threads than that grow small trees hardly faster.
_THREADS = 4
# Bins of one set of rows on a CPU take so many bytes for a value, as ``methods.trainer`` found.
_BYTES_PER_VALUE = 5
# On a GPU, bins of more sets than a fold has would crowd out the trees.
_SETS_ON_GPU = 2


@dataclass(frozen=True)
class FoldRows:
    """A fold and its rows: those to fit, those that stop the rounds, all of the training, and those to predict."""

    fold: Fold
    fit: Rows
    validation: Rows
    window: Rows
    test: Rows


@dataclass(frozen=True)
class Plan:
    """What is searched, known before a row is read: the settings of every trial, the space and the folds."""

    run: StageRun[TuneOptions]
    train: TrainSpec
    tune: TuneSpec
    space: Mapping[str, Searched]
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, run: StageRun[TuneOptions]) -> "Plan":
        """Check what a command asks for.

        Raises:
            SpecError: for a parameter that XGBoost does not know or a value that it refuses, for a space without
                parameters, and for too few days.
        """
        spec, given = run.pipeline.spec, run.options
        train = requested(spec, given.params)
        asked = {"trials": given.trials, "budget_seconds": given.budget_seconds}
        tune = spec.tune.model_copy(update={name: value for name, value in asked.items() if value is not None})
        held = {OTHER_NAMES.get(name, name) for name in given.params}
        space = {name: one for name, one in tune.space.items() if name not in held}
        if not space:
            raise SpecError(
                f"--set holds every parameter of the search ({', '.join(tune.space)}), so nothing is left to try. Leave "
                "one out, or name others in tune.search of pipeline.yaml."
            )
        check_space(spec.task, train, space)
        return cls(run, train, tune, space, rolling_folds(run.partitions, train, tune))

    @property
    def metric(self) -> str:
        """The metric of the gate."""
        return self.run.pipeline.spec.gate.metric

    def settings_of(self, params: Mapping[str, Any]) -> TrainSpec:
        """The training settings of a trial."""
        return self.train.model_copy(update={"params": with_params(self.train.params, params)})


@dataclass(frozen=True)
class Tuning:
    """A search with its rows.

    ``rows_md5`` is the hash of the training set. ``workers`` trials run at a time, with ``threads`` each.
    """

    plan: Plan
    window: TrainingWindow
    folds: tuple[FoldRows, ...]
    days: FoldDays
    rows_md5: str
    device: Device
    workers: int
    threads: int
    stop: Event

    @property
    def run(self) -> StageRun[TuneOptions]:
        """The run of the stage."""
        return self.plan.run

    @cached_property
    def data(self) -> TrainingRows:
        """The range's rows as XGBoost reads them."""
        most = self.plan.train.external_memory_rows
        return replace(self.window.rows.data, external_memory=0 < most < len(self.window.rows))

    def data_of(self, fold: FoldRows) -> TrainingRows:
        """The same rows for one fold, whose scores start where its own training lets them."""
        return self._by_fold[fold.fold.test.start]

    @cached_property
    def _by_fold(self) -> Mapping[date, TrainingRows]:
        task = self.run.pipeline.spec.task
        return {one.fold.test.start: with_offset(self.data, self.plan.train, task, one.window) for one in self.folds}

    @cached_property
    def search(self) -> Search:
        """Which parameters come next."""
        plan = self.plan
        return Search(plan.space, plan.metric, plan.tune.random_trials, plan.train.seed)

    @property
    def made_of(self) -> dict[str, str]:
        """What the trials depend on, beside their own parameters. Another study has another one."""
        plan, project = self.plan, self.run.settings.project_path
        train = plan.train.model_dump(
            mode="json", exclude={"window_days", "segments", "rate_table", "checkpoint_rounds"}
        )
        folds = [[str(one.train), str(one.test)] for one in plan.folds]
        space = {name: one.model_dump(mode="json") for name, one in plan.space.items()}
        return {
            "rows": self.rows_md5,
            "train": _hash(train),
            "space": _hash(space),
            "search": _hash([plan.metric, plan.tune.random_trials, plan.tune.stop_confidence]),
            "folds": _hash(folds),
            "libraries": lock_hash(project),
        }

    @property
    def study(self) -> str:
        """The name of the study: the same command finds the same one as long as what it depends on is the same."""
        days = self.run.partitions
        return f"{days.start}_{days.end}-{_hash(self.made_of)[:8]}"

    def params_of(self, trial: Mapping[str, Any]) -> tuple[TrainSpec, Params]:
        """The settings and all of XGBoost's parameters of a trial."""
        settings = self.plan.settings_of(trial)
        params = booster_params(self.run.pipeline.spec.task, settings)
        return settings, params if "nthread" in settings.params else {**params, "nthread": self.threads}

    def trainer(self) -> HeldBins:
        """A trainer for one thread. It keeps so many bins as the memory of its share allows."""
        size = len(self.window.rows) * len(self.data.names) * _BYTES_PER_VALUE
        room = self.run.settings.memory_bytes // 2 // self.workers
        most = _SETS_ON_GPU if self.device == "cuda" else max(2, room // max(1, size))
        return HeldBins(most, self.stop)


def read(plan: Plan) -> Tuning:
    """Read the rows of the range once, as ``train`` reads them, and check that each fold can be learned and judged.

    Raises:
        MissingInputError, DataError: as ``train`` does, and for a fold without labelled rows to predict.
    """
    run, spec = plan.run, plan.run.pipeline.spec
    window = read_window(_as_training(run))
    folds = tuple(_rows_of(window, fold) for fold in plan.folds)
    for fold in plan.folds:
        check_labels(spec, window, fold.split)
        _check_test(plan, window, fold)
    with window.rows.file.open("rb") as stream:
        rows_md5 = digest(stream, "md5")
    cores = processors()
    device = ThisProcess().device(plan.train.device, len(window.rows))
    workers = run.options.workers or (1 if device == "cuda" else max(1, cores // _THREADS))
    days, threads = FoldDays(plan.metric, plan.folds), max(1, cores // workers)
    return Tuning(plan, window, folds, days, rows_md5, device, workers, threads, Event())


def _as_training(run: StageRun[TuneOptions]) -> StageRun[TrainOptions]:
    """The run with which a training reads the same rows."""
    options = TrainOptions(params=run.options.params, registered=False)
    return StageRun(
        run.stage, run.pipeline, run.partitions, run.settings, run.lake, run.run_id, options, run.progress, run.started
    )


def _rows_of(window: TrainingWindow, fold: Fold) -> FoldRows:
    days = window.rows.labels.days
    parts = (fold.split.fit, fold.split.validation, fold.train, fold.test)
    return FoldRows(fold, *(window.rows.of_days(within(days, part)) for part in parts))


def _check_test(plan: Plan, window: TrainingWindow, fold: Fold) -> None:
    known = window.rows.labels
    chosen = within(known.days, fold.test)
    name = plan.run.pipeline.name
    if not chosen.any():
        raise MissingInputError(
            f"{name}: no labelled rows in {fold.test}, which a fold predicts. Choose another range, or lower tune.folds."
        )
    if plan.metric == "auc" and known.smallest[chosen].min() == known.largest[chosen].max():
        raise DataError(f"{name}: all labels of {fold.test} are the same, so there is no auc. Raise tune.fold_days.")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

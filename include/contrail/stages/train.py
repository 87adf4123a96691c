"""Fit a model on a window of labelled rows, and keep it as a candidate with all that is needed to make it again.

No alias moves here. Promote decides whether a candidate may predict for people. The steps are in
``contrail.stages.training``.
"""

import numpy as np
import pyarrow.compute as pc

from contrail.adapters.executors import has_executors
from contrail.adapters.spark_trainer import SparkTrainer
from contrail.adapters.training_runs import LoggedRun
from contrail.files import scratch
from contrail.lake.datasets import PARTITION
from contrail.methods.baselines import fit_rate_table
from contrail.methods.boosting import Checkpoints
from contrail.methods.evaluation import MONTH, Sample, Validation, evaluate_training
from contrail.methods.fit import Fitted, Method, booster_params, fit_trees, requested
from contrail.methods.matrices import predicted
from contrail.methods.model_package import MODEL, ModelCard, ModelPackage
from contrail.methods.splits import split_window
from contrail.methods.xgboost_loading import load_xgboost
from contrail.stages.base import StageRun, result_of
from contrail.stages.judged_rows import judged_rows
from contrail.stages.model_cards import keep_card
from contrail.stages.options import TrainOptions as Options
from contrail.stages.results import StageResult, TrainDetails
from contrail.stages.training.artifacts import write_artifacts, write_metrics
from contrail.stages.training.base import Trained, Training
from contrail.stages.training.checkpoints import CheckpointFolder
from contrail.stages.training.effort import Effort
from contrail.stages.training.findings import with_findings
from contrail.stages.training.log import log_training, register
from contrail.stages.training.package import package_of
from contrail.stages.training.rows import TRAINING_SET, check_labels, read_window, version_window

# Plots show no more validation rows than that.
_DRAWN = 1 << 18


def execute(run: StageRun[Options]) -> StageResult[TrainDetails]:
    """Train on the range and register the model as a candidate version.

    ``train`` in ``pipeline.yaml`` cuts the range into fit, embargo and validation. Labels are those known at the
    cut-off after the range. A day without all of its labels is left out. On a CPU, the same rows, parameters, threads,
    workers and libraries give the same bytes.

    Raises:
        MissingInputError: when the range has no labelled rows.
        SpecError: for a wrong parameter, or a range too short to split.
    """
    effort = Effort()
    method = _method(run)
    split = split_window(run.partitions, method.settings.validation_days, method.settings.embargo_days)
    window = read_window(run)
    run.progress(f"{len(window.rows):,} labelled rows; fit {split.fit}, validation {split.validation}")
    training = Training(run, method, split, window, version_window(run, window))
    check_labels(training.spec, window, split)

    checkpoints = CheckpointFolder(run, method, training.md5[TRAINING_SET])
    with effort.fitting():
        trained = _fit_and_evaluate(training, checkpoints)
        package, explained = package_of(training, trained.fitted)
    if run.options.registered:
        package = with_findings(trained, package, explained)
    card, logged = _log(trained, package)
    version = register(trained, card, logged, effort.cost(trained)) if run.options.registered else None
    if version:
        keep_card(run, version)
    write_metrics(trained)
    checkpoints.remove()
    return _result(trained, card, logged, version)


def _method(run: StageRun[Options]) -> Method:
    spec = run.pipeline.spec
    settings = requested(spec, run.options.params)
    together = settings.workers > 1 and has_executors(run.settings.engine)
    load_xgboost(whole=together)
    params = booster_params(spec.task, settings)
    if together:
        return Method(
            settings, params, SparkTrainer(run.settings.engine, settings.workers, run.staging / "training-rows")
        )
    return Method(settings, params)


def _fit_and_evaluate(training: Training, checkpoints: Checkpoints) -> Trained:
    method, (fit, check) = training.method, training.masks
    fitted = fit_trees(training.data, fit, check, method, checkpoints)
    validation = _validation(training, fitted)
    metrics = evaluate_training(validation)
    machines = f"{fitted.workers} executors' {fitted.device}" if fitted.workers > 1 else fitted.device
    training.run.progress(f"{fitted.rounds} rounds on {machines}; {metrics.headline(validation.task)}")
    return Trained(training, fitted, validation, metrics)


def _validation(training: Training, fitted: Fitted) -> Validation:
    """The validation rows, with baselines of the rows that the model was fitted on."""
    run, rows, settings, (fit, check) = training.run, training.window.rows, training.method.settings, training.masks
    rate_table = fit_rate_table(rows.batches(fit), settings.rate_table)
    names = ("model", "rate_table", "constant")
    with judged_rows(run.settings, training.spec.task, (*settings.segments, MONTH)) as judged:
        batches = zip(rows.batches(check), predicted(fitted.checked, training.data, check), strict=True)
        for (table, labels), predictions in batches:
            days = table.column(PARTITION)
            simple = (rate_table.predict(table), np.full(len(labels), rate_table.overall))
            groups = {name: table.column(name) for name in settings.segments}
            groups[MONTH] = pc.strftime(days, "%Y-%m")
            judged.append(days.to_numpy(), labels, dict(zip(names, (predictions, *simple), strict=True)), groups)
        sums = [judged.sums(name, grouped=name == "model") for name in names]
        sample = Sample(*judged.sample(_DRAWN, names[:2]))
    return Validation(training.spec.task, sums[0], sums[1], sums[2], sample)


def _log(trained: Trained, package: ModelPackage) -> tuple[ModelCard, LoggedRun]:
    with scratch("contrail-train-") as place:
        folder, artifacts = place / "package", place / "artifacts"
        card = package.save(folder).card
        write_artifacts(trained, card, artifacts)
        return card, log_training(trained, card, folder, artifacts)


def _result(trained: Trained, card: ModelCard, logged: LoggedRun, version: str | None) -> StageResult[TrainDetails]:
    run, window, metrics = trained.training.run, trained.training.window, trained.metrics
    details = TrainDetails(
        model_name=run.pipeline.name,
        model_version=version,
        mlflow_run=logged.run_id,
        rounds=trained.fitted.rounds,
        device=trained.fitted.device,
        workers=trained.fitted.workers,
        training_set_md5=trained.training.md5[TRAINING_SET],
        model_sha256=card.sha256[MODEL],
        immature=window.immature,
        validation=metrics.validation,
        baselines={"rate_table": metrics.rate_table, "constant": metrics.constant},
    )
    return result_of(
        run,
        rows=len(window.rows),
        snapshots={name: id_ for name, id_ in window.snapshots.items() if id_ is not None},
        details=details,
    )

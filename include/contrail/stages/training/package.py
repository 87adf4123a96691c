"""The package of a trained model: its trees, its card, and the reference for drift."""

from contrail.lake.columns import Columns
from contrail.methods.baselines import fit_rate_table
from contrail.methods.drift_reference import build_reference
from contrail.methods.fit import Fitted, predict_unseen
from contrail.methods.flagged import usual_share
from contrail.methods.label_drift import build_label_reference, day_residuals, parts_of
from contrail.methods.matrices import Floats
from contrail.methods.model_package import ModelCard, ModelPackage, TrainingRecord
from contrail.revision import code_revision, lock_hash
from contrail.stages.training.base import Training
from contrail.stages.training.rows import TRAINING_SET


def package_of(training: Training, fitted: Fitted) -> ModelPackage:
    """The model with all that is needed to score with it and to make it again."""
    run, spec, window = training.run, training.spec, training.window
    # Drift is measured on every row of a day, labelled or not. So its reference needs every row too.
    features = Columns(run.lake, "features", run.partitions, window.snapshots["features"])
    unseen = unseen_predictions(training, fitted)
    card = ModelCard(
        pipeline=spec.name,
        task=spec.task,
        label=spec.label.expression,
        label_mean=float(window.labels.mean()),
        features=training.data.names,
        categories=dict(training.data.categories),
        rate_table=fit_rate_table(window.rows.groups, window.labels, training.method.settings.rate_table),
        flagged=usual_share(window.days, unseen, spec.score.threshold) if spec.task == "binary" else None,
        training=_record(training, fitted),
    )
    residuals = day_residuals(window.days, window.labels, unseen)
    reference = build_reference(features, spec, build_label_reference(residuals, spec.drift))
    return ModelPackage(card, fitted.model, reference.to_json())


def unseen_predictions(training: Training, fitted: Fitted) -> Floats:
    """Predict each part of the window by trees of the other parts, as the model will predict later days."""
    window, method = training.window, training.method
    params = {**method.params, "device": fitted.device}
    return predict_unseen(training.data, parts_of(window.days), params, fitted.rounds, method.trainer)


def _record(training: Training, fitted: Fitted) -> TrainingRecord:
    import xgboost

    run, window, settings = training.run, training.window, training.method.settings
    return TrainingRecord(
        start=run.partitions.start,
        end=run.partitions.end,
        labels_as_of=window.labels_as_of,
        embargo_days=settings.embargo_days,
        rows=len(window.rows),
        feature_snapshot=window.snapshots["features"],
        snapshots=dict(window.snapshots),
        training_set_md5=training.md5[TRAINING_SET],
        rounds=fitted.rounds,
        device=fitted.device,
        workers=fitted.workers,
        params=training.method.params,
        options=settings.model_dump(include={"validation_days", "early_stopping_rounds", "rounds", "refit", "seed"}),
        code_revision=code_revision(run.settings.project_path),
        lock_hash=lock_hash(run.settings.project_path),
        pipeline_hash=run.pipeline.hash,
        xgboost_version=xgboost.__version__,
    )

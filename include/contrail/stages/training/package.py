"""The package of a trained model: its trees, its card, and the reference for drift."""

from contrail.config.processors import processor, usable_threads
from contrail.lake.columns import Columns
from contrail.methods.baselines import fit_rate_table
from contrail.methods.drift_effects import Contributions
from contrail.methods.drift_reference import build_reference
from contrail.methods.encoded_rows import EveryRow
from contrail.methods.explanations import Explained, explained_sample
from contrail.methods.fit import Fitted
from contrail.methods.flagged import usual_share
from contrail.methods.label_drift import build_label_reference
from contrail.methods.model_package import ModelCard, ModelPackage, TrainingRecord
from contrail.revision import code_hash, code_revision, lock_hash
from contrail.stages.training.base import Training
from contrail.stages.training.rows import TRAINING_SET
from contrail.stages.training.unseen import unseen

# The settings, beside the parameters of XGBoost, that the trees depend on.
_RECORDED = {"validation_days", "early_stopping_rounds", "rounds", "refit", "seed", "checkpoint_rounds"}


def package_of(training: Training, fitted: Fitted) -> tuple[ModelPackage, Explained]:
    """The model with all that is needed to score with it and to make it again; and the rows that explain it."""
    run, spec, window = training.run, training.spec, training.window
    # Drift is measured on every row of a day, labelled or not. So its reference needs every row too.
    features = Columns(run.lake, "features", run.partitions, window.snapshots["features"])
    rate_table = fit_rate_table(window.rows.batches(EveryRow()), training.method.settings.rate_table)
    learned = unseen(training, fitted)
    threshold = spec.score.threshold if learned.decision is None else learned.decision.threshold
    card = ModelCard(
        pipeline=spec.name,
        task=spec.task,
        label=spec.label.expression,
        label_mean=rate_table.overall,
        features=training.data.names,
        categories=dict(training.data.categories),
        rate_table=rate_table,
        flagged=usual_share(window.rows.labels.rows, learned.flagged, threshold) if spec.task == "binary" else None,
        decision=learned.decision,
        offset=training.data.offset,
        calibration=learned.calibration,
        interval=learned.interval,
        training=_record(training, fitted),
    )
    explained = explained_sample(ModelPackage(card, fitted.model, b""), training.data)
    contributions = Contributions(card.features, card.categories, explained.matrix, explained.parts)
    usual_labels = build_label_reference(learned.residuals.means(), spec.drift)
    reference = build_reference(features, spec, usual_labels, contributions)
    return ModelPackage(card, fitted.model, reference.to_json()), explained


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
        options=settings.model_dump(include=_RECORDED | ({"calibration"} if settings.calibration != "none" else set())),
        code_revision=code_revision(run.settings.project_path),
        lock_hash=lock_hash(run.settings.project_path),
        pipeline_hash=run.pipeline.hash,
        xgboost_version=xgboost.__version__,
        code_hash=code_hash(),
        processor=processor(),
        threads=usable_threads(int(training.method.params["nthread"])) if fitted.workers == 1 else 0,
    )

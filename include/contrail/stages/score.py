"""Predict every entity of a range with one model version, with the reasons of each score, in one atomic commit.

A challenger's predictions go to a table of their own, where analysts do not see them (shadow scoring). Promote decided
on the model. Performance measures how good the predictions are.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain
from typing import NamedTuple

import pyarrow as pa
from upath import UPath

from contrail.adapters.batches import MapPart, map_files
from contrail.adapters.registry import CHALLENGER, CHAMPION, RegisteredModel, alias_version
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.errors import ContrailError, MissingInputError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION, Dataset
from contrail.lake.lake import Lake
from contrail.lake.model_history import AS_OF, champions_as_of
from contrail.lake.provenance import Provenance
from contrail.methods.card import device
from contrail.methods.scoring import Receipt, Scorer, Scoring, outcome_columns
from contrail.methods.trainer import Device
from contrail.partitions import Partitions, as_ranges
from contrail.stages.base import StageRun, result_of
from contrail.stages.champion import model_of
from contrail.stages.fitting import fitted
from contrail.stages.options import ScoreOptions as Options
from contrail.stages.profiles import decisions_of, histograms_of, predicted_days
from contrail.stages.results import ScoreDetails, ShadowScoring, StageResult
from contrail.stages.values import expected_of


def execute(run: StageRun[Options]) -> StageResult[ScoreDetails]:
    """Score the range and replace its partitions of ``predictions``.

    If the champion scores and the challenger is another version, the challenger scores next. Its predictions replace
    the same partitions of ``predictions_shadow``. A challenger that fails never stops the champion; ``details.shadow``
    names it.

    Raises:
        MissingInputError: naming the partitions without features, or when there is no such model. Nothing is published:
            a range is scored whole or not at all.
        SpecError: when the model does not fit the pipeline as it is now.
        InputsChangedError: when another run published features meanwhile.
    """
    spec = run.pipeline.spec
    models = models_of(run.pipeline, run.settings, run.lake, run.partitions, run.options.model)
    snapshot = run.lake.snapshot_id("features")
    rows, empty = check_features(run.pipeline, run.lake, run.partitions)
    used = {model.version: model for _, model in models}
    versions = ",".join(used)
    where = device(spec.score.device, rows)
    run.progress(f"scoring {rows:,} rows with {run.pipeline.name} version {versions} on {where}")

    learned_from = tuple(str(days) for days in as_ranges(chain.from_iterable(_learned(*one) for one in models)))
    if learned_from:
        run.progress(f"the model has learned from {', '.join(learned_from)}: its quality there looks better than it is")
    inputs = _Inputs(snapshot, rows, where)
    clock = _Clock()
    dataset = datasets.predictions(spec)
    scored = _watched(_score(run, dataset, models, inputs), run, snapshot, clock)
    provenance = _provenance(run, list(used.values()), inputs)
    made = run.lake.publish(dataset, scored, run.partitions, provenance, each_partition=run.options.each_partition)
    run.progress(f"{rows:,} rows predicted and explained in {clock.seconds:.1f} s")
    _count(run, models, snapshot)
    expected = expected_of(run, made)
    shadow, made_in_shadow = _shadow(run, models, inputs)
    return result_of(
        run,
        rows=rows,
        snapshots={"predictions": made, **made_in_shadow},
        details=ScoreDetails(
            model_name=run.pipeline.name,
            model_version=versions,
            feature_snapshot=snapshot,
            without_entities=tuple(str(days) for days in as_ranges(empty)),
            learned_from=learned_from,
            predict_seconds=round(clock.seconds, 3),
            expected_value=expected,
            shadow=shadow,
        ),
    )


def _learned(days: Partitions, model: RegisteredModel) -> list[date]:
    """The days of a range that the model was trained on."""
    return [day for day in days if day in model.package.card.training.partitions]


class _Inputs(NamedTuple):
    """What is scored, and where: a snapshot of the features, the number of its rows in the range, and the device."""

    snapshot: int | None
    rows: int
    device: Device


def _score(
    run: StageRun[Options], dataset: Dataset, models: list[tuple[Partitions, RegisteredModel]], inputs: _Inputs
) -> pa.RecordBatchReader | UPath:
    """The rows of ``dataset`` for the range, each part of it by its model: as a stream, or as staged files."""
    files: dict[str, list[str]] = {}
    for days, model in models:
        files.setdefault(model.version, []).extend(run.lake.files("features", days, inputs.snapshot))
    used = {model.version: model for _, model in models}
    scored_at = datetime.now(UTC)
    parts = [
        MapPart(files[version], Scorer(model.package, _scoring(run, model, inputs, scored_at)))
        for version, model in used.items()
    ]
    wanted = {*_kept(run.pipeline.spec), *(name for model in used.values() for name in model.package.features)}
    columns = pa.schema([field for field in run.lake.schema("features") if field.name in wanted])
    outputs, folder = dataset.staged_schema(), run.staging / dataset.name
    return map_files(run.settings.engine, parts, columns, outputs, folder, run.settings.memory_bytes)


@dataclass
class _Clock:
    """The seconds until the last row was predicted."""

    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def stop(self) -> None:
        self.seconds = time.monotonic() - self.started


def _watched(
    rows: pa.RecordBatchReader | UPath, run: StageRun[Options], snapshot: int | None, clock: _Clock
) -> pa.RecordBatchReader | UPath:
    """The same rows. When all are predicted, the clock stops, and features that have changed meanwhile are an error.

    The publisher reads a stream to its end before it commits.
    """

    def end() -> None:
        clock.stop()
        run.check_unchanged("features", snapshot, run.partitions)

    def passed_on(batches: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        yield from batches
        end()

    if isinstance(rows, pa.RecordBatchReader):
        return pa.RecordBatchReader.from_batches(rows.schema, passed_on(rows))
    end()
    return rows


def _provenance(run: StageRun[Options], models: list[RegisteredModel], inputs: _Inputs) -> Provenance:
    """What the rows are made of. Those of a GPU say so, because they differ from those of processors by rounding."""
    return run.provenance(
        {"features": inputs.snapshot},
        model_name=run.pipeline.name,
        model_version=",".join(model.version for model in models),
        model_sha256=",".join(model.package.card.sha256["model.ubj"] for model in models),
        **({} if inputs.device == "cpu" else {"device": inputs.device}),
    )


def _count(run: StageRun[Options], models: list[tuple[Partitions, RegisteredModel]], snapshot: int | None) -> None:
    """Count the days that were scored, so that a verdict on their drift reads no rows. Drift counts what is left."""
    for days, model in models:
        try:
            histograms_of(run, model, days, {"features": snapshot})
            decisions_of(run, model, days)
            predicted_days(run, model, days)
        except ContrailError as error:
            run.progress(f"left to drift: {error}")


def _kept(spec: PipelineSpec) -> tuple[str, ...]:
    return (PARTITION, *spec.key)


def _scoring(run: StageRun[Options], model: RegisteredModel, inputs: _Inputs, scored_at: datetime) -> Scoring:
    score = run.pipeline.spec.score
    receipt = Receipt(
        model_name=model.name,
        model_version=model.version,
        feature_snapshot=inputs.snapshot,
        scoring_run=run.run_id,
        scored_at=scored_at,
    )
    return Scoring(
        kept=_kept(run.pipeline.spec),
        threshold=model.package.threshold(score),
        interval=score.interval is not None,
        reasons=score.reasons,
        receipt=receipt,
        device=inputs.device,
    )


def _shadow(
    run: StageRun[Options], models: list[tuple[Partitions, RegisteredModel]], inputs: _Inputs
) -> tuple[ShadowScoring, dict[str, int]]:
    """Score with the challenger beside the champion. Return what was done, or why not, and the snapshot."""
    nothing = ShadowScoring(), dict[str, int]()
    if run.options.model != CHAMPION:
        return nothing
    ((_, champion),) = models
    version = alias_version(run.settings, champion.name, CHALLENGER)
    if version in (None, champion.version):
        return nothing
    try:
        model = fitted(run.pipeline.spec, model_of(run.settings, run.lake, str(version)))
        dataset = datasets.predictions_shadow(run.pipeline.spec)
        rows = _score(run, dataset, [(run.partitions, model)], inputs)
        provenance = _provenance(run, [model], inputs)
        made = run.lake.publish(dataset, rows, run.partitions, provenance)
    except ContrailError as error:
        run.progress(f"not scored in shadow: {error}")
        return ShadowScoring(model_version=version, skipped=str(error)), {}
    run.progress(f"{inputs.rows:,} rows scored in shadow with version {version}")
    return ShadowScoring(model_version=version, rows=inputs.rows), {"predictions_shadow": made}


def models_of(
    pipeline: Pipeline, settings: Settings, lake: Lake, partitions: Partitions, ref: str
) -> list[tuple[Partitions, RegisteredModel]]:
    """The model that scores each part of a range; one part, unless ``ref`` is ``as-of``.

    Raises:
        MissingInputError: when there is no such model.
        SpecError: when a model does not fit the pipeline as it is now.
    """
    as_of = ref == AS_OF
    parts = champions_as_of(lake, pipeline.name, partitions) if as_of else [(partitions, ref)]
    models = {
        version: fitted(pipeline.spec, model_of(settings, lake, version))
        for version in dict.fromkeys(version for _, version in parts)
    }
    return [(days, models[version]) for days, version in parts]


def check_features(pipeline: Pipeline, lake: Lake, partitions: Partitions) -> tuple[int, list[date]]:
    """The rows of the range, and its days that have nothing to predict; every other day must have features.

    Raises:
        MissingInputError: naming the days that have none.
    """
    published = lake.partitions("features", partitions)
    without = [day for day in partitions if day not in published]
    name = f"validated_{pipeline.spec.entities}"
    entities = lake.partitions(name, partitions) if without else {}
    known = lake.ends(name) if without else None
    built = lake.lineage("features")
    # A day whose features were built of no entities has nothing to predict. So has a gap between days with entities. A
    # gap after the last of them is a day not ingested yet.
    empty = [d for d in without if d not in entities and (built.maker(d) or (known and known.start < d < known.end))]
    if missing := sorted(set(without) - set(empty)):
        ranges = ", ".join(str(days) for days in as_ranges(missing))
        raise MissingInputError(
            f"{pipeline.name}: no features for {len(missing)} of {len(partitions)} partitions: {ranges}. "
            f"Nothing was scored; predictions are as they were. Run: contrail features --pipeline "
            f"{pipeline.name} --from {missing[0]} --to {missing[-1]}"
        )
    return sum(published[day].rows for day in partitions if day in published), empty


def outcomes(spec: PipelineSpec, lake: Lake, model: RegisteredModel, partitions: Partitions) -> Iterator[pa.Table]:
    """Score a range without reasons and without publishing: key, score, decision, version. A batch is in memory at a time.

    The first part has no rows, so that there is always one to tell the columns.
    """
    package, kept = model.package, _kept(spec)
    rows = lake.batches("features", partitions, dict.fromkeys([*kept, *package.features]))
    parts = chain([rows.schema.empty_table()], (pa.Table.from_batches([batch]) for batch in rows))
    for part in parts:
        columns = {name: part.column(name) for name in kept}
        columns |= outcome_columns(spec.task, package.predict(part), package.threshold(spec.score))
        yield pa.table({**columns, "model_version": pa.repeat(pa.scalar(model.version), part.num_rows)})

"""The evidence for the gate: every model's predictions of the same rows, and the days in shadow."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.baselines import RateTable
from contrail.methods.decisions import Deciding
from contrail.methods.gates import CONSTANT, RATE_TABLE, Evidence, ShadowDay
from contrail.methods.group_sums import ModelSums
from contrail.methods.model_package import ModelPackage
from contrail.methods.splits import out_of_time_window
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.judged_rows import JudgedRows
from contrail.stages.options import PromoteOptions
from contrail.stages.promotion.contest import Contest

_CHALLENGER, _CHAMPION = "challenger", "champion"


class _Field(NamedTuple):
    """The models that predict the rows, by name, and what is wrong with challenger and champion.

    The gate refuses a package that cannot read the rows for that, not for its predictions.
    """

    models: dict[str, ModelPackage | RateTable]
    problems: list[str]
    no_champion: str


def _field(spec: PipelineSpec, contest: Contest) -> _Field:
    package = contest.challenger.package.of_today(spec)
    problems = package.differences(spec)
    incumbent = contest.incumbent.package.of_today(spec) if contest.incumbent else None
    outdated = incumbent.differences(spec) if incumbent else []
    why = f"the champion no longer fits the pipeline ({'; '.join(outdated)})" if outdated else contest.why_unread
    models = {
        _CHALLENGER: None if problems else package,
        _CHAMPION: None if outdated else incumbent,
        RATE_TABLE: package.rate_table if package.rate_table.features and not problems else None,
    }
    return _Field({name: model for name, model in models.items() if model}, problems, why)


def predict_rows(spec: PipelineSpec, contest: Contest, batches: Iterable[pa.RecordBatch], judged: JudgedRows) -> None:
    """Score rows with both models and the baselines, without stored metrics. A batch of rows is in memory at a time."""
    models, mean = _field(spec, contest).models, contest.challenger.package.card.label_mean
    features = segment_features(spec)
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        judged.append(
            rows.column(PARTITION).to_numpy(),
            rows.column("label").to_numpy(),
            {CONSTANT: np.full(len(rows), mean), **{name: model.predict(rows) for name, model in models.items()}},
            {name: pc.cast(rows.column(name), pa.string()) for name in features},
        )


def segment_features(spec: PipelineSpec) -> tuple[str, ...]:
    """Return the features whose groups are judged."""
    return tuple(dict.fromkeys([*spec.train.segments, *(floor.feature for floor in spec.gate.segments)]))


def evidence_of(
    spec: PipelineSpec, contest: Contest, judged: JudgedRows, shadow: tuple[ShadowDay, ...] = ()
) -> Evidence:
    """Add up what every model predicted of the rows."""
    models, problems, why = _field(spec, contest)

    def deciding(name: str) -> Deciding | None:
        """Every model decides at its own threshold, a baseline at the ratio of the costs."""
        model, costs = models.get(name), spec.score.costs
        if isinstance(model, ModelPackage):
            return model.deciding(spec.score)
        return Deciding(costs, costs.ratio) if costs else None

    def added(name: str, grouped: bool = False) -> ModelSums:
        return judged.sums(name, grouped, spec.gate.calibration_days, deciding(name))

    def sums(name: str) -> ModelSums | None:
        return added(name, name in (_CHALLENGER, _CHAMPION)) if name in models else None

    return Evidence(
        challenger=sums(_CHALLENGER) or added(CONSTANT, grouped=True),
        champion=sums(_CHAMPION),
        constant=added(CONSTANT),
        rate_table=sums(RATE_TABLE),
        integrity=tuple(problems),
        shadow=shadow,
        **({"no_champion": why} if why else {}),
    )


def shadow_days(run: StageRun[PromoteOptions], contest: Contest) -> tuple[ShadowDay, ...]:
    """The measured days on which the challenger scored beside this champion, after both trainings."""
    if not contest.incumbent:
        return ()
    metric, challenger, champion = run.pipeline.spec.gate.metric, contest.challenger, contest.incumbent
    rows = _measured(run, contest, metric)
    theirs = {row.day: row.metric for row in rows if row.version == champion.version and not row.shadow}
    ours = {row.day: row for row in rows if row.version == challenger.version and row.shadow}
    return tuple(
        ShadowDay(day, ours[day].labelled, ours[day].metric, theirs[day]) for day in sorted(ours.keys() & theirs.keys())
    )


@dataclass(frozen=True)
class _Measured:
    """A day of ``performance``, with the gate's metric."""

    day: date
    version: str
    labelled: int
    shadow: bool
    metric: float


def _measured(run: StageRun[PromoteOptions], contest: Contest, metric: str) -> list[_Measured]:
    """What could be measured of the days that neither model has seen."""
    measured = run.lake.ends("performance")
    if not (measured and "shadow" in run.lake.table("performance").schema().column_names):
        return []
    trainings = [model.package.card.training for model in contest.models]
    first = max(out_of_time_window(training.end, training.embargo_days, 1).start for training in trainings)
    if first > measured.end:
        return []
    names = [PARTITION, "model_version", "labelled", "shadow", metric]
    rows = run.lake.scan("performance", Partitions(first, measured.end), names).select(names).to_pydict()
    return [_Measured(*row) for row in zip(*rows.values(), strict=True) if row[-1] is not None]

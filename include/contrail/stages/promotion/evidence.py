"""The evidence for the gate: every model's predictions of the same rows, and the days in shadow."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.encoding import shared_values
from contrail.methods.gates import Evidence, ShadowDay
from contrail.methods.splits import out_of_time_window
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import PromoteOptions
from contrail.stages.promotion.contest import Contest


def evidence_of(
    spec: PipelineSpec, contest: Contest, rows: pa.RecordBatchReader, shadow: tuple[ShadowDay, ...] = ()
) -> Evidence:
    """Score the rows with both models and the baselines, without stored metrics.

    A batch of rows is in memory at a time. Of each row remain its partition, label, groups and predictions, as numbers.
    """
    package = contest.challenger.package.of_today(spec)
    problems = package.differences(spec)
    incumbent = contest.incumbent.package.of_today(spec) if contest.incumbent else None
    outdated = incumbent.differences(spec) if incumbent else []
    why = f"the champion no longer fits the pipeline ({'; '.join(outdated)})" if outdated else contest.why_unread
    # The gate refuses a package that cannot read the rows for that, not for its predictions.
    models = {
        "challenger": None if problems else package,
        "champion": None if outdated else incumbent,
        "rate_table": package.rate_table if package.rate_table.features and not problems else None,
    }
    features = dict.fromkeys([*spec.train.segments, *(floor.feature for floor in spec.gate.segments)])

    def judged(batch: pa.Table) -> pa.Table:
        predicted = {name: model.predict(batch) for name, model in models.items() if model}
        own = {name: batch.column(name) for name in (PARTITION, "label")}
        groups = {f"group {name}": pc.cast(batch.column(name), pa.string()).dictionary_encode() for name in features}
        return pa.table({**own, **predicted, **groups})

    batches = (pa.Table.from_batches([batch]) for batch in rows)
    found = pa.concat_tables([judged(rows.schema.empty_table()), *map(judged, batches)])
    mean = np.full(found.num_rows, package.card.label_mean)

    def predictions(name: str) -> npt.NDArray[np.float64] | None:
        return found.column(name).to_numpy() if models[name] else None

    challenger = predictions("challenger")
    return Evidence(
        task=spec.task,
        days=found.column(PARTITION).to_numpy(),
        labels=found.column("label").to_numpy(),
        challenger=mean if challenger is None else challenger,
        champion=predictions("champion"),
        constant=mean,
        rate_table=predictions("rate_table"),
        groups={name: shared_values(found.column(f"group {name}")) for name in features},
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

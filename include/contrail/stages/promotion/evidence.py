"""The evidence for the gate: every model's predictions of the same rows, and the days in shadow."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.methods.gates import Evidence, ShadowDay
from contrail.methods.splits import out_of_time_window
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import PromoteOptions
from contrail.stages.promotion.contest import Contest


def evidence_of(spec: PipelineSpec, contest: Contest, rows: pa.Table, shadow: tuple[ShadowDay, ...] = ()) -> Evidence:
    """Score the rows with both models and the baselines, without stored metrics."""
    package = contest.challenger.package.of_today(spec)
    problems = package.differences(spec)
    mean = np.full(rows.num_rows, package.card.label_mean)
    incumbent = contest.incumbent.package.of_today(spec) if contest.incumbent else None
    outdated = incumbent.differences(spec) if incumbent else []
    why = f"the champion no longer fits the pipeline ({'; '.join(outdated)})" if outdated else contest.why_unread
    features = dict.fromkeys([*spec.train.segments, *(floor.feature for floor in spec.gate.segments)])
    table = package.rate_table
    return Evidence(
        task=spec.task,
        days=rows.column(PARTITION).to_numpy(),
        labels=rows.column("label").to_numpy(),
        # The gate refuses a package that cannot read the rows for that, not for its predictions.
        challenger=mean if problems else package.predict(rows),
        champion=incumbent.predict(rows) if incumbent and not outdated else None,
        constant=mean,
        rate_table=table.predict(rows) if table.features and not problems else None,
        groups={name: _texts(rows.column(name)) for name in features},
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


def _texts(column: pa.ChunkedArray) -> npt.NDArray[np.object_]:
    return np.array(pc.cast(column, pa.string()).to_pylist(), object)

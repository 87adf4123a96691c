"""What features tell of the outcome: each alone, that a value is missing, all together, and the published predictions.

The rows are a sample, so that any range keeps within the memory limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrail.adapters import registry
from contrail.config.names import listed, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import make_labels, mature_days
from contrail.lake.lake import Lake
from contrail.methods.fit import Method, booster_params, fit_trees, override
from contrail.methods.matrices import encode_window, predicted
from contrail.methods.metrics import Task
from contrail.methods.splits import within
from contrail.methods.telling import Floats, Rows, alone, decided, strength
from contrail.operations.leaks.findings import LEAK, WARNING, Finding, Level, Told, not_checked, told
from contrail.partitions import Partitions

_MOST_ROWS = 100_000
_BYTES_A_VALUE = 64  # of the sample, of its encoding, and of the trees' bins
_LEAST_LABELS = 30  # of each class, or at all
_ROUNDS = 60
MEASURE: dict[Task, str] = {"binary": "AUC", "regression": "rank correlation"}
# A feature alone from which on people should look, and one that is as good as the label itself.
_ALONE: dict[Task, tuple[float, float]] = {"binary": (0.9, 0.99), "regression": (0.98, 0.995)}
_MODEL: dict[Task, float] = {"binary": 0.95, "regression": 0.99}
_FEW = (
    "Too few labelled rows: a day to learn from, a later one to look at, and thirty outcomes of each kind are needed."
)


@dataclass(frozen=True)
class Outcomes:
    """A sample of built rows, sorted by partition and key, with ``label``, which is null where no outcome came.

    ``fit`` and ``check`` are labelled rows of earlier and of later days.
    """

    spec: PipelineSpec
    rows: pa.Table
    days: npt.NDArray[np.datetime64]
    labels: Floats
    fit: Rows
    check: Rows

    @property
    def labelled(self) -> Rows:
        """Which rows have an outcome."""
        found: Rows = ~np.isnan(self.labels)
        return found

    @property
    def enough(self) -> bool:
        """Whether both parts have outcomes enough to judge by."""
        return all(_enough(self.spec.task, self.labels[part]) for part in (self.fit, self.check))


def outcomes_of(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, partitions: Partitions, seed: int
) -> Outcomes:
    """Sample the rows of ``built`` whose labels have all arrived. The same seed gives the same rows."""
    mature = mature_days(lake, spec, partitions)
    make_labels(connection, lake, spec, mature or list(partitions))
    keys = listed((PARTITION, *spec.key))
    among = f"{PARTITION} IN ({', '.join(f'DATE {str(day)!r}' for day in mature) or 'NULL'})"
    ((count,),) = connection.sql(f"SELECT count(*) FROM built WHERE {among}").fetchall()
    kept = _sampled(lake, spec, keys, count, seed)
    rows = connection.sql(
        f"SELECT b.*, l.label FROM (FROM built WHERE {among} AND {kept}) b LEFT JOIN labels l USING ({keys}) ORDER BY {keys}"
    ).to_arrow_table()
    days = rows.column(PARTITION).to_numpy().astype("datetime64[D]")
    labels = rows.column("label").to_numpy(zero_copy_only=False).astype(np.float64)
    fit, check = _parts(spec, mature)
    there = ~np.isnan(labels)
    return Outcomes(spec, rows, days, labels, there & _of(days, fit), there & _of(days, check))


def _sampled(lake: Lake, spec: PipelineSpec, keys: str, count: int, seed: int) -> str:
    """SQL of whether a row is in a sample that fits into the memory; of ``count`` rows all may be."""
    most = min(_MOST_ROWS, lake.settings.memory_bytes // (_BYTES_A_VALUE * len(spec.features.columns)))
    return f"hash({seed}, {keys}) % 1000000 < {1_000_000 * most // max(count, 1)}"


def _parts(spec: PipelineSpec, mature: Sequence[date]) -> tuple[Partitions | None, Partitions | None]:
    """The earlier days, and after the training's embargo the last third of them."""
    if not mature:
        return None, None
    check = Partitions(mature[-max(1, len(mature) // 3)], mature[-1])
    last = check.start - timedelta(days=1 + spec.train.embargo_days)
    return (Partitions(mature[0], last) if last >= mature[0] else None), check


def _of(days: npt.NDArray[np.datetime64], part: Partitions | None) -> Rows:
    return within(days, part) if part else np.zeros(len(days), bool)


def _enough(task: Task, labels: Floats) -> bool:
    if task == "regression":
        return len(labels) >= _LEAST_LABELS and len(np.unique(labels)) > 1
    return min(int((labels > 0.5).sum()), int((labels <= 0.5).sum())) >= _LEAST_LABELS


def of_alone(found: Outcomes) -> Told:
    """How much each feature alone tells, on days after those from which it was learned."""
    spec, task = found.spec, found.spec.task
    if not found.enough:
        return not_checked(_FEW)
    looks, is_label = _ALONE[task]
    best, findings = (0.0, ""), list[Finding]()
    for name in spec.features.columns:
        own = alone(task, found.rows.column(name), found.labels, found.fit, found.check)
        best = max(best, (0.0 if np.isnan(own) else own, name))
        if own >= looks:
            level: Level = LEAK if own >= is_label else WARNING
            as_good = (
                "as good as the label itself"
                if own >= is_label
                else "better than features that know no future mostly are"
            )
            says = f"alone tells the outcome with {MEASURE[task]} {own:.3f}, {as_good}"
            findings.append(Finding(check="alone", level=level, subject=name, says=says, rows=int(found.check.sum())))
    said = f"The strongest is {best[1]}, {MEASURE[task]} {best[0]:.3f}, on {int(found.check.sum()):,} later rows."
    return told(said, findings)


def of_nulls(found: Outcomes) -> Told:
    """Whether a missing value tells the outcome, or that there is none."""
    if not found.labelled.any():
        return not_checked("No row of the range has an outcome yet.")
    there = found.labelled
    high = found.labels > (0.5 if found.spec.task == "binary" else float(np.median(found.labels[there])))
    findings = []
    for name in found.spec.features.columns:
        missing = found.rows.column(name).is_null(nan_is_null=True).to_numpy()
        own = decided(missing[there], high[there], found.days[there])
        words = {True: "a high outcome", False: "a low outcome"}
        if own is None:
            own = decided(missing, there, found.days)
            # Where a value is missing, all outcomes may well have arrived.
            own, words = (own if own and not own[1] else None), {False: "no outcome at all"}
        if own:
            side, yes, rows = own
            says = f"is {'missing' if side else 'there'} in {rows:,} rows, and all of them have {words[yes]}"
            findings.append(Finding(check="nulls", level=LEAK, subject=name, says=says, rows=rows))
    return told(f"{len(found.rows):,} rows, {int(there.sum()):,} of them with an outcome.", findings)


def of_model(found: Outcomes, published: tuple[float, int] | None) -> Told:
    """Whether trees on all features, or the published predictions, are too good to be true."""
    task = found.spec.task
    if not found.enough:
        return not_checked(_FEW)
    fitted = override(found.spec.train, {"rounds": _ROUNDS, "refit": False, "workers": 1, "device": "cpu"})
    rows = encode_window(found.rows.filter(pa.array(found.labelled)), found.spec)
    fit, check = found.fit[found.labelled], found.check[found.labelled]
    model = fit_trees(rows, fit, check, Method(fitted, booster_params(task, fitted)))
    labels = found.labels[found.check]
    own = strength(task, labels, np.concatenate([*predicted(model.checked, rows, check)]))
    first = max(model.importance, key=lambda name: model.importance[name])
    judged = {f"a model of all features, most of all {first}": own}
    if published:
        judged[f"predictions as published, {published[1]:,} rows after the training"] = published[0]
    bound = _MODEL[task]
    findings = [
        Finding(
            check="model",
            level=WARNING,
            subject=subject,
            says=f"tells the outcome of later days with {MEASURE[task]} {value:.3f}; hardly any honest model reaches {bound}",
        )
        for subject, value in judged.items()
        if value >= bound
    ]
    return told(f"{MEASURE[task]} {'; '.join(f'{value:.3f}: {name}' for name, value in judged.items())}.", findings)


def published(
    connection: duckdb.DuckDBPyConnection, lake: Lake, spec: PipelineSpec, partitions: Partitions, seed: int
) -> tuple[float, int] | None:
    """How good the published predictions of days after their model's training are, and of how many rows; None without any."""
    if not lake.partitions("predictions", partitions):
        return None
    ends = {
        version: Partitions.from_text(window).end
        for version, window in registry.training_windows_of(lake.settings, spec.name).items()
    }
    if not ends:
        return None
    count = sum(state.rows for state in lake.partitions("predictions", partitions).values())
    lake.view(
        connection,
        "published",
        "predictions",
        partitions,
        [PARTITION, *spec.key, spec.prediction_column, "model_version"],
    )
    known = ", ".join(f"('{version}', DATE '{end}')" for version, end in ends.items())
    keys = listed((PARTITION, *spec.key))
    rows = connection.sql(
        f"SELECT l.label, p.{quoted(spec.prediction_column)} AS predicted FROM published p "
        f"JOIN (VALUES {known}) v(version, ends) ON p.model_version = v.version AND p.{PARTITION} > v.ends "
        f"JOIN labels l USING ({keys}) WHERE {_sampled(lake, spec, keys, count, seed)} ORDER BY {keys}"
    ).to_arrow_table()
    labels, predicted = (rows.column(name).to_numpy() for name in ("label", "predicted"))
    return (strength(spec.task, labels, predicted), len(labels)) if _enough(spec.task, labels) else None

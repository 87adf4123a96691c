"""What is known of quality before labels: the estimates of days, later beside the truth, and the segments in which it fell.

It reads what ``performance`` published. How a day is estimated belongs to ``methods.estimated``.
"""

from collections.abc import Iterator
from datetime import date

from pydantic import Field

from contrail.config.pipeline import Pipeline
from contrail.frozen import Frozen
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.estimated import LEVEL
from contrail.methods.segment_falls import REACH_DAYS
from contrail.operations.prediction_segments import metric_of
from contrail.partitions import Partitions

_TOLD = 365  # days, of which the share within their intervals is told


class EstimatedDay(Frozen):
    """The estimate of a metric on a day, and what labels said later.

    ``estimate`` is None where nothing tells it, and ``low`` and ``high`` until enough days have labels. ``found`` is None
    until the labels of the day are known. ``labels_known`` says that they were there before the estimate, as in a backfill.
    """

    day: date
    version: str
    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    found: float | None
    labels_known: bool = Field(default=False, exclude=True)

    @property
    def inside(self) -> bool | None:
        """Whether the interval held what was found. None while either is missing."""
        if self.low is None or self.high is None or self.found is None:
            return None
        return self.low <= self.found <= self.high


class Fall(Frozen):
    """A segment in which quality fell: since when, the day on which it was seen, and the last day that it was on."""

    feature: str
    value: str
    since: date
    seen: date
    last: date

    @property
    def text(self) -> str:
        """The fall in words."""
        return f"quality fell in {self.feature} {self.value} since {self.since}"


class BeforeLabels(Frozen):
    """The newest estimates, and how the earlier ones turned out.

    ``waiting`` are the estimated days without labels. Of ``judged`` days whose labels came, ``inside`` lay within their
    intervals; ``level`` is the share that is wanted. ``afterwards`` of them were estimated when their labels were there
    already, as in a backfill. ``falls`` are the segments whose quality is down on the newest measured
    days.
    """

    metric: str
    level: float
    waiting: tuple[EstimatedDay, ...]
    judged: int
    inside: int
    afterwards: int
    falls: tuple[Fall, ...]

    @property
    def sentence(self) -> str:
        """The estimates in words."""
        return "; ".join([*self._newest(), self._kept()])

    def _newest(self) -> Iterator[str]:
        if not self.waiting:
            return
        last, metric = self.waiting[-1], self.metric.replace("_", " ")
        if last.estimate is None:
            yield f"{metric} of {last.day} is not estimated: too few days have labels"
            return
        interval = f" [{last.low:.4f}, {last.high:.4f}]" if last.low is not None and last.high is not None else ""
        yield f"{metric} of {last.day} is estimated at {last.estimate:.4f}{interval}"

    def _kept(self) -> str:
        if not self.judged:
            return "no interval has been judged yet"
        share = self.inside / self.judged
        kept = (
            f"{share:.1%} of {self.judged:,} earlier days lay within their interval, where {self.level:.0%} is wanted"
        )
        if not self.afterwards:
            return kept
        which = "all" if self.afterwards == self.judged else f"{self.afterwards:,}"
        return f"{kept} ({which} of them estimated when their labels were known already, without these labels)"


def before_labels(lake: Lake, pipeline: Pipeline) -> BeforeLabels | None:
    """The estimates of the pipeline's metric, and the segments that fell. None before a day is estimated."""
    known = lake.ends("estimates") if lake.exists("estimates") else None
    if known is None:
        return None
    metric = metric_of(pipeline)
    days = estimated_days(lake, metric, Partitions(known.end, known.end).reaching_back(_TOLD))
    judged = [one for one in days if one.inside is not None]
    measured = lake.ends("segment_quality") if lake.exists("segment_quality") else None
    now = falls_of(lake, Partitions(measured.end, measured.end).reaching_back(REACH_DAYS)) if measured else ()
    return BeforeLabels(
        metric=metric,
        level=LEVEL,
        waiting=tuple(one for one in days if one.found is None),
        judged=len(judged),
        inside=sum(one.inside is True for one in judged),
        afterwards=sum(one.labels_known for one in judged),
        falls=tuple(one for one in now if measured and one.last == measured.end),
    )


def estimated_days(lake: Lake, metric: str, window: Partitions) -> tuple[EstimatedDay, ...]:
    """The estimates of a metric in the order of days, each beside what was found."""
    if not lake.exists("estimates"):
        return ()
    found: dict[tuple[date, str], float | None] = {}
    if lake.exists("performance"):
        for row in lake.scan("performance", window).to_pylist():
            if not row.get("shadow"):
                found[row[PARTITION], row["model_version"]] = row.get(metric)
    rows = [row for row in lake.scan("estimates", window).to_pylist() if row["metric"] == metric]
    rows.sort(key=lambda row: (row[PARTITION], row["model_version"]))
    return tuple(
        EstimatedDay(
            day=row[PARTITION],
            version=row["model_version"],
            metric=metric,
            estimate=row["estimate"],
            low=row["low"],
            high=row["high"],
            found=found.get((row[PARTITION], row["model_version"])),
            labels_known=bool(row.get("labels_known")),
        )
        for row in rows
    )


def falls_of(lake: Lake, window: Partitions) -> tuple[Fall, ...]:
    """The falls of segments that were on within a window, in the order in which they began."""
    if not lake.exists("segment_quality"):
        return ()
    columns = [PARTITION, "feature", "value", "fell_since"]
    rows = lake.scan("segment_quality", window, columns).to_pylist()
    days: dict[tuple[str, str, date], list[date]] = {}
    for row in rows:
        if row["fell_since"] is not None:
            days.setdefault((row["feature"], row["value"], row["fell_since"]), []).append(row[PARTITION])
    found = [
        Fall(feature=feature, value=value, since=since, seen=min(on), last=max(on))
        for (feature, value, since), on in days.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.since, one.feature, one.value)))

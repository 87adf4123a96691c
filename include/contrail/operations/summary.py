"""A pipeline on one screen: rows, quarantine, champion, realised quality against baselines, drift.

It reads only what the stages published. The stages decide what a number means.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contrail.adapters.registry import RegisteredModel, resolve
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.errors import MissingInputError
from contrail.lake.datasets import PARTITION
from contrail.lake.lake import Lake
from contrail.methods.calibration import worst
from contrail.methods.intervals import Interval
from contrail.methods.label_drift import LABEL
from contrail.operations.before_labels import BeforeLabels, before_labels
from contrail.operations.covered import Covered, covered
from contrail.operations.decided import Decided, decided
from contrail.operations.realised import Flagged, Realised, flagged, realised
from contrail.operations.unusual import unusual_days
from contrail.partitions import as_ranges

SHOWN_METRICS = {
    "binary": {"auc": "AUC", "log_loss": "log loss", "calibration_error": "calibration error"},
    "regression": {"rmse": "RMSE", "mae": "MAE"},
}

_CAPTION = "In brackets: the 95% interval over days, from resamples of whole days."
_TITLE_WIDTH = 84  # a table is only as wide as its columns, and would break its title


@dataclass(frozen=True)
class Extent:
    """Rows of a table, and its partitions as ranges."""

    rows: int
    partitions: list[str]


@dataclass(frozen=True)
class Champion:
    """The champion now, and its training window."""

    name: str
    version: str
    trained_on: str


@dataclass(frozen=True)
class LastVerdict:
    """The newest day that drift was measured on."""

    partition: str
    verdict: str


@dataclass(frozen=True)
class DriftSummary:
    """Days by verdict, and the ranges on which drift of the label, and of the features, was raised."""

    days: Mapping[str, int]
    label_drift: list[str]
    drift: list[str]
    last: LastVerdict | None


@dataclass(frozen=True)
class UnusualDays:
    """How many days were unlike their table's own last ones, and the newest of them."""

    days: int
    last: str | None = None
    what: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The facts. Landed rows are counted by table, quarantined rows and refusals by rule.

    ``flagged`` is the share of recent predictions that are flagged, beside its usual range. ``decided`` is what the
    champion's decisions were worth, where the spec states costs. ``covered`` is how often labels lay within intervals.
    ``before_labels`` has the estimates of days whose labels are not known, and the segments whose quality fell.
    """

    pipeline: str
    title: str
    landed: Mapping[str, int]
    quarantined: Mapping[str, int]
    refused: Mapping[str, int]
    unusual: UnusualDays
    features: Extent
    scored: Extent
    champion: Champion | None
    realised: Realised | None
    flagged: Flagged | None
    decided: Decided | None
    covered: Covered | None
    before_labels: BeforeLabels | None
    drift: DriftSummary | None
    reports: str

    def as_dict(self) -> dict[str, Any]:
        """The facts as plain values, for JSON."""
        values: dict[str, Any] = TypeAdapter(Summary).dump_python(self, mode="json")
        return values


def summarise(pipeline: Pipeline, lake: Lake) -> Summary:
    """The facts of the summary."""
    champion = _champion(pipeline)
    return Summary(
        pipeline=pipeline.name,
        title=pipeline.spec.title,
        landed={t: _rows(lake, f"raw_{t}") for t in pipeline.spec.tables},
        quarantined=_counts(lake, "quarantine", "rule"),
        refused=_counts(lake, "refusals", "rule"),
        unusual=_unusual(lake),
        features=_extent(lake, "features"),
        scored=_extent(lake, "predictions"),
        champion=_about(champion),
        realised=realised(pipeline, lake, champion) if champion else None,
        flagged=flagged(lake, champion) if champion else None,
        decided=decided(pipeline.spec, lake, champion) if champion else None,
        covered=covered(pipeline.spec, lake, champion) if champion else None,
        before_labels=before_labels(lake, pipeline),
        drift=_drift(lake),
        reports=str(settings().reports / pipeline.name),
    )


def _rows(lake: Lake, table: str) -> int:
    return sum(map(len, lake.batches(table, columns=["_line"]))) if lake.exists(table) else 0


def _counts(lake: Lake, table: str, column: str) -> dict[str, int]:
    found = Counter[str]()
    for batch in lake.batches(table, columns=[column]) if lake.exists(table) else ():
        found.update(batch.column(0).to_pylist())
    return dict(found.most_common())


def _unusual(lake: Lake) -> UnusualDays:
    found = unusual_days(lake)
    last = max(found, default=None)
    return UnusualDays(len(found), str(last), found[last]) if last else UnusualDays(0)


def _extent(lake: Lake, table: str) -> Extent:
    states = lake.partitions(table)
    return Extent(sum(state.rows for state in states.values()), [str(r) for r in as_ranges(states)])


def _champion(pipeline: Pipeline) -> RegisteredModel | None:
    try:
        return resolve(settings(), pipeline.name, "champion")
    except MissingInputError:
        return None


def _about(champion: RegisteredModel | None) -> Champion | None:
    if champion is None:
        return None
    return Champion(champion.name, champion.version, str(champion.package.card.training.partitions))


def _drift(lake: Lake) -> DriftSummary | None:
    if not lake.exists("drift"):
        return None
    rows = lake.scan("drift", columns=[PARTITION, "feature", "verdict"]).to_pylist()
    verdicts = {row[PARTITION]: row["verdict"] for row in rows if row["feature"] == "*"}
    labels = [row[PARTITION] for row in rows if row["feature"] == LABEL and row["verdict"] == "drift"]
    return DriftSummary(
        days=dict(Counter(verdicts.values())),
        label_drift=[str(r) for r in as_ranges(labels)],
        drift=[str(r) for r in as_ranges(day for day, verdict in verdicts.items() if verdict == "drift")],
        last=LastVerdict(str(max(verdicts)), verdicts[max(verdicts)]) if verdicts else None,
    )


# ---- for a person ----


def print_summary(found: Summary, console: Console) -> None:
    """Print the facts for a person."""
    console.rule(f"[bold]{found.pipeline}[/] · {escape(found.title)}", align="left")
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="bold", min_width=12)
    lines.add_column()
    parts = " · ".join(f"{name} {count:,}" for name, count in found.landed.items())
    lines.add_row("Landed", f"{sum(found.landed.values()):,} rows  [dim]{escape(parts)}[/]")
    lines.add_row("Quarantined", _reasons(found.quarantined, "rows"))
    lines.add_row("Refused", _reasons(found.refused, "files or partitions"))
    lines.add_row("Unusual", _unusual_line(found.unusual))
    for label, extent in (("Features", found.features), ("Scored", found.scored)):
        lines.add_row(label, f"{extent.rows:,} rows  [dim]{', '.join(extent.partitions[-3:])}[/]")
    lines.add_row("Champion", _champion_line(found.champion))
    lines.add_row("Drift", _drift_line(found.drift))
    console.print(lines)
    if found.realised:
        console.print(_realised_table(found.realised))
    if told := _quality_lines(found):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", min_width=12)
        grid.add_column()
        for line in told:
            grid.add_row(*line)
        console.print(grid)
    _print_next(found, console)


def _reasons(counts: Mapping[str, int], noun: str) -> str:
    if not counts:
        return "none"
    shown = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:4])
    return f"{sum(counts.values()):,} {noun}  [dim]{escape(shown)}[/]"


def _unusual_line(unusual: UnusualDays) -> str:
    if not unusual.days:
        return "none"
    newest = escape(f"the newest {unusual.last}: {' | '.join(unusual.what)}")
    return f"{unusual.days:,} day{'' if unusual.days == 1 else 's'}  [dim]{newest}[/]"


def _champion_line(champion: Champion | None) -> str:
    if champion is None:
        return "none yet: train and promote a model"
    return f"{champion.name} version {champion.version}  [dim]trained on {champion.trained_on}[/]"


def _drift_line(drift: DriftSummary | None) -> str:
    if not drift or not drift.last:
        return "not checked yet"
    days = ", ".join(f"{count} days {verdict}" for verdict, count in sorted(drift.days.items()))
    raised = f"; raised on {', '.join(drift.drift[-3:])}" if drift.drift else ""
    raised += f"; of the label on {', '.join(drift.label_drift[-3:])}" if drift.label_drift else ""
    return f"{drift.last.verdict} on {drift.last.partition}  [dim]{days}{raised}[/]"


def _realised_table(realised: Realised) -> Table:
    task = "binary" if "auc" in realised.metrics["champion"] else "regression"
    shown = SHOWN_METRICS[task]
    table = Table(
        "",
        *shown.values(),
        title=f"Out of time: {realised.window}, {realised.rows:,} predictions whose outcome is known",
        title_justify="left",
        caption=_CAPTION if realised.intervals["champion"] else None,
        caption_justify="left",
        min_width=_TITLE_WIDTH,
        title_style="bold",
    )
    for name, values in realised.metrics.items():
        intervals = realised.intervals[name]
        table.add_row(name, *(_with_interval(values[key], intervals.get(key)) for key in shown))
    return table


def _with_interval(value: float, interval: Interval | None) -> str:
    return f"{value:.4f}" + (rf" \[{interval.low:.4f}, {interval.high:.4f}]" if interval else "")


def _quality_lines(found: Summary) -> list[tuple[str, str]]:
    """What pooled metrics hide: the worst month, the days that are not measured, and an unusual share flagged."""
    lines, realised, flagged = [], found.realised, found.flagged
    month = worst(realised.months) if realised else None
    if month and realised and len(realised.months) > 1:
        lines.append(
            (
                "Worst month",
                f"{month.start:%B}: calibration error {_with_interval(month.calibration_error, month.interval)}; "
                f"predicted {month.prediction_mean:.4f}, found {month.label_mean:.4f}",
            )
        )
    if realised and realised.immature:
        lines.append(("Not measured", f"{', '.join(realised.immature[-3:])}: not all outcomes are known yet"))
    if flagged:
        usual = f"usually {flagged.usual.low:.1%} to {flagged.usual.high:.1%}"
        what = usual if flagged.is_usual else f"[bold red]unusual: {usual}[/]"
        lines.append(("Flagged", f"{flagged.share:.1%} of the predictions in the 28 days to {flagged.day}; {what}"))
    if found.decided:
        lines.append(("Decisions", escape(found.decided.sentence)))
    if found.covered:
        lines.append(("Intervals", escape(found.covered.sentence)))
    if found.before_labels:
        lines.append(("Before labels", escape(found.before_labels.sentence)))
        lines += [("Segment", f"[bold red]{escape(fall.text)}[/]") for fall in found.before_labels.falls]
    elif found.scored.partitions:
        start, end = found.scored.partitions[0].split("..")[0], found.scored.partitions[-1].split("..")[-1]
        command = f"contrail performance -p {found.pipeline} --from {start} --to {end}"
        lines.append(("Before labels", escape(f"no day is estimated yet. To estimate them: {command}")))
    return lines


def _print_next(found: Summary, console: Console) -> None:
    name = found.pipeline
    console.print("[bold]Where to look next[/]")
    for what, how in (
        ("the predictions", f'.venv/bin/contrail query -p {name} "SELECT * FROM predictions_latest LIMIT 10"'),
        ("each partition's state", f".venv/bin/contrail status -p {name}"),
        ("decisions, data docs, drift reports", found.reports),
        ("Airflow and MLflow in a browser", "make up"),
    ):
        console.print(f"  {what}: [cyan]{escape(how)}[/]", highlight=False, soft_wrap=True)

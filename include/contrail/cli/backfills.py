"""The desk of past days: backfills, their difference, and late files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import BACKFILL, command
from contrail.cli.options import (
    NAME,
    SWITCH,
    FromOption,
    JsonOption,
    OnOption,
    PipelineOption,
    RunOption,
    ToOption,
    end_changes,
    lake_of,
    not_with,
)
from contrail.cli.printing import cell, done, indented, number, print_json, progress, say
from contrail.cli.stages import publish_command, show_analysts
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES, Commits

if TYPE_CHECKING:
    from contrail.operations.backfill import Backfills
    from contrail.operations.backfill_plan import Plan
    from contrail.operations.backfill_result import BackfillResult, PlanSummary
    from contrail.reports.backfill_record import Record

app = typer.Typer()

StagesOption = Annotated[
    str, typer.Option(metavar="<names>", help=f"Separated by commas, of {', '.join(RANGE_STAGES)}.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        metavar=NAME, help="champion, challenger, latest, a version, or as-of: the champion as of each partition."
    ),
]
CommitsOption = Annotated[
    Commits, typer.Option(help="whole: one job, one commit. chunk: a commit a chunk. partition: a commit a day.")
]
ChunkOption = Annotated[
    int | None,
    typer.Option(
        metavar="<days>", help="Partitions a job, with --commits chunk or partition. Default: the environment's."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", metavar=SWITCH, help="Show the plan and stop.")]
BeginOption = Annotated[
    bool,
    typer.Option(
        "--begin", metavar=SWITCH, help="Show the plan, keep the current snapshots, and stop. Parts follow by --id."
    ),
]
ReportOption = Annotated[bool, typer.Option(metavar=SWITCH, help="End with the difference report.")]
PartOption = Annotated[
    str | None,
    typer.Option("--id", metavar=NAME, help="Name of this backfill. Commands with the same name are its parts."),
]


def backfills_of(pipeline: str) -> "Backfills":
    """The backfills of a pipeline."""
    from contrail.operations.backfill import Backfills

    loaded = load_pipeline(pipeline)
    return Backfills(loaded, settings(), lake_of(loaded))


@command(app, "backfill", BACKFILL)
def backfill(
    pipeline: PipelineOption,
    from_: FromOption,
    to: ToOption = None,
    stages: StagesOption = "features,score",
    model: ModelOption = "champion",
    commits: CommitsOption = "whole",
    chunk_days: ChunkOption = None,
    dry_run: DryRunOption = False,
    begin: BeginOption = False,
    report: ReportOption = True,
    backfill_id: PartOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run stages over a range as a few large jobs: the plan first, the difference last.

    A partition that already holds exactly this result stays as it is. To continue a killed backfill, give the same
    command again.

    The report is in `<reports>/<pipeline>/backfills`, as HTML and JSON.
    """
    from contrail.operations.backfill_request import Request
    from contrail.operations.backfill_result import BackfillResult

    if dry_run:
        not_with("--dry-run", {"--begin": begin}, "it only shows the plan, and keeps no snapshots")
    partitions = Partitions.parse(from_, to)
    named = tuple(name.strip() for name in stages.split(",") if name.strip())
    backfills = backfills_of(pipeline)
    if not dry_run:
        end_changes("backfill", backfills.pipeline)
    plan = backfills.plan(Request(partitions, named, model, commits, chunk_days))
    console = printing.err if as_json else printing.out
    print_plan(plan, console)
    result = BackfillResult(plan=plan.summary())
    if not dry_run:
        result = run_plan(backfills, plan, console, backfill_id, begin=begin, report=report)
    if as_json:
        print_json(result.as_dict())


def run_plan(
    backfills: "Backfills",
    plan: "Plan",
    console: Console,
    backfill_id: str | None = None,
    *,
    begin: bool = False,
    report: bool = True,
) -> "BackfillResult":
    """Run a plan that leaves something to do, and print what it did. The options are those of ``backfill``."""
    from contrail.operations.backfill_result import BackfillResult

    if plan.nothing_to_do and backfill_id is None and not backfills.interrupted(plan):
        return BackfillResult(plan=plan.summary())
    pipeline, partitions = backfills.pipeline.name, plan.request.partitions
    with progress(f"backfill {pipeline} {partitions}") as show:
        record = backfills.open(plan, backfill_id, show)
        jobs = [] if begin else backfills.run(plan, record, show)
        reports: tuple[str, ...] = ()
        if report and not begin:
            record = backfills.finish(record)
            reports = backfills.reports(record)
            show_analysts(pipeline, partitions, show)
    _print_backfill(record, f": {len(jobs)} job(s)", reports, console)
    return BackfillResult(plan=plan.summary(), jobs=tuple(jobs), reports=reports, id=record.id)


@command(app, "difference", BACKFILL)
def difference(
    pipeline: PipelineOption,
    backfill_id: Annotated[str, typer.Option("--id", metavar=NAME, help="The backfill's name.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write the difference report of a backfill: what readers see now against what they saw before it."""
    from contrail.operations.backfill_result import DifferenceResult

    backfills = backfills_of(pipeline)
    record = backfills.record(backfill_id)
    with progress(f"difference {pipeline} {record.partitions}") as show:
        show("comparing with what was published before")
        record = backfills.finish(record)
    reports = backfills.reports(record)
    _print_backfill(record, "", reports, printing.err if as_json else printing.out)
    if as_json:
        totals = {table: compared.total for table, compared in record.difference.tables.items()}
        found = DifferenceResult(id=record.id, reports=reports, difference=totals, gone=record.difference.gone)
        print_json(found.as_dict())


@command(app, "late", BACKFILL)
def late(pipeline: PipelineOption, on: OnOption, run_id: RunOption = None, as_json: JsonOption = False) -> None:
    """Take in files of past days that came late or again, and rebuild the features that they touch.

    It looks back from the cut-off of a day. It scores days again only where `score.late_data` says `rescore`. The table
    `corrections` says what became different, with a report for each change.
    """
    from contrail.operations.late import correct
    from contrail.stages.results import LateResult

    day = Partitions.parse(on)
    with progress(f"late {pipeline} {day}") as show:
        found = correct(backfills_of(pipeline), day.start, run_id, show)
    if as_json:
        print_json(LateResult(details=found).as_dict())
        return
    if not found.files:
        done("nothing came late")
        return
    flipped = f"{len(found.days)} days are different now, {found.decisions_flipped} decisions flipped"
    done(f"taken in: {escape(', '.join(found.files))}; {flipped}")
    indented(found.reports)
    if found.days and settings().analysts:
        days = Partitions.parse(min(found.days), max(found.days))
        indented([f"for analysts: {publish_command(pipeline, days)}"])


def print_plan(plan: "Plan", console: Console) -> None:
    """Print what a backfill would do."""
    from contrail.reports.difference import sentence

    shown = plan.summary()
    console.print(_plan_table(plan.pipeline, shown))
    for stage in shown.stages:
        jobs = f"{len(stage.jobs)} job(s): {', '.join(stage.jobs)}" if stage.jobs else "no jobs"
        seconds = stage.estimated_seconds
        taken = "time not known" if seconds is None else f"about {seconds:.1f} s"
        say(f"{stage.stage}: {jobs}; {taken} ({escape(stage.estimated_from)})", console)
    for model in shown.models:
        say(f"model: version {model.version} for {model.partitions}", console)
    for name, rows in shown.expected_difference.items() if not plan.nothing_to_do else ():
        more, fewer = number(rows.more_rows), number(rows.fewer_rows)
        say(f"expected difference of {name}: {more} rows more, {fewer} fewer", console)
        if rows.sample:
            say(
                f"  scored for this plan: {', '.join(rows.sample.days)}: {escape(sentence(name, rows.sample))}", console
            )
        elif name == "predictions" and "features" in shown.expected_difference:
            say("  the shift of scores is not known before their features are built", console)
    for each in shown.lost:
        say(f"[yellow]![/] {escape(each)}\nDays that only these snapshots know are made again.", console)
    minutes = shown.estimated_minutes
    taken = "not known yet" if minutes is None else f"about {minutes} minutes"
    say(f"commits: {shown.publish}; time: {taken}; cost: {escape(shown.cost)}", console)
    if plan.nothing_to_do:
        say("Every partition already holds exactly this result: there is nothing to do.", console)


def _plan_table(pipeline: str, shown: "PlanSummary") -> Table:
    title = f"Plan: {pipeline} {shown.partitions} ({shown.days} partitions)"
    table = Table("stage", "partitions", "days", "rows", "published", "what", "why", "made by", title=title)
    for stage in shown.stages:
        for group in stage.partitions:
            counts = (number(count) for count in (group.days, group.rows, group.published))
            version = [f"version {group.version}"] if group.version else []
            runs = [f"{len(group.runs)} runs"] if len(group.runs) > 1 else [f"run {run}" for run in group.runs]
            made_by = ", ".join(version + runs)
            table.add_row(stage.stage, group.partitions, *counts, group.action, cell(group.why), cell(made_by))
        if not stage.partitions:
            table.add_row(stage.stage, shown.partitions, f"{shown.days:,}", "", "", "run", "", "")
    return table


def _print_backfill(record: "Record", jobs: str, reports: Sequence[str], console: Console) -> None:
    from contrail.reports.difference import summary as sentences

    done(f"backfill {escape(record.id)}{jobs}", console)
    indented([*(sentences(record.difference) if reports else []), *reports], console)

"""The command line ``contrail``: every stage and every table, without Airflow.

Results go to standard output (JSON where a script wants it), progress and errors to standard error. The work
itself is elsewhere: a command parses its arguments, calls, and prints.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from contrail.adapters.google_errors import google_errors
from contrail.config.pipeline import Pipeline, load_pipeline, pipeline_names
from contrail.config.settings import current_person, settings
from contrail.errors import ContrailError, SpecError
from contrail.files import checked_name
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES, VERBS

if TYPE_CHECKING:
    from contrail.config.prices import PriceTable
    from contrail.dispatch.receipts import Month
    from contrail.lake.lake import Lake
    from contrail.operations.backfill import Record
    from contrail.operations.backfill_plan import Plan


def _run_name(name: str | None) -> str | None:
    return name and checked_name(name, "--run-id")


app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Batch machine learning, a partition at a time: landed files in, a prediction table out.",
    epilog="Start with `contrail status --pipeline flight_delay`. Each command has examples in its --help.",
)
_LOG_WIDTH = 140  # where there is no terminal to ask
out = Console(width=None if sys.stdout.isatty() else _LOG_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _LOG_WIDTH)

PipelineOption = Annotated[
    str, typer.Option("--pipeline", "-p", help="Folder name under include/pipelines.", show_default=False)
]
FromOption = Annotated[str, typer.Option("--from", help="First partition, YYYY-MM-DD.", show_default=False)]
ToOption = Annotated[str | None, typer.Option("--to", help="Last partition, inclusive. Default: the same as --from.")]
RunOption = Annotated[str | None, typer.Option("--run-id", callback=_run_name, help="Name of this run in the records.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


class Approval(StrEnum):
    """An approver's answer."""

    approved = "approved"
    refused = "refused"
    awaited = "awaited"


class Asked(StrEnum):
    """Who asks for a training."""

    monitor = "monitor"
    schedule = "schedule"
    by_hand = "by-hand"


# One list of the verbs, in contrail.stages; mypy cannot see through the call.
Verb = StrEnum("Verb", {verb: verb for verb in VERBS})  # type: ignore[misc]


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)


def _default_pipeline(name: str | None) -> str:
    """The named pipeline, or the only one, or flight_delay, which is shipped first."""
    if name:
        return name
    known = pipeline_names()
    return "flight_delay" if "flight_delay" in known or not known else known[0]


def _lake(pipeline: Pipeline) -> "Lake":
    from contrail.lake.lake import Lake  # 1.5 s of imports that --help can do without

    return Lake(settings(), pipeline.name)


@contextmanager
def _progress(label: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the elapsed time on a terminal; plain lines in a log."""
    if not err.is_terminal:
        started = time.monotonic()
        yield lambda line: err.print(
            f"{time.monotonic() - started:6.1f} s  {label}: {line}", highlight=False, markup=False, soft_wrap=True
        )
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(label)

        def show(line: str) -> None:
            bar.update(task, description=f"{label}: {escape(line)}")
            bar.console.print(f"  {escape(line)}", highlight=False)

        yield show


def _parse_set(pairs: list[str]) -> dict[str, Any]:
    """``["max_depth=8"]`` or ``['{"max_depth": 8}']`` to ``{"max_depth": 8}``; values are JSON, else text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        if pair.startswith("{"):
            found |= json.loads(pair)
            continue
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpecError(f"--set {pair}: write it as name=value, for example --set max_depth=8")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value
    return found


@app.command()
def stage(
    verb: Annotated[Verb, typer.Argument(help="Which stage.", show_default=False)],
    pipeline: PipelineOption,
    from_: FromOption,
    to: ToOption = None,
    model: Annotated[
        str, typer.Option(help="score, drift, promote: a version, champion or challenger; score: as-of.")
    ] = "",
    set_: Annotated[
        list[str],
        typer.Option("--set", help="train: parameters as name=value or as a JSON object."),
    ] = [],  # noqa: B006
    register: Annotated[bool, typer.Option(help="train: put the model into the registry.")] = True,
    metrics: Annotated[Path | None, typer.Option(help="train: also write the metrics to this JSON file.")] = None,
    report: Annotated[str, typer.Option(help="drift: Evidently report always, on alarm, or never.")] = "alarm",
    as_of_cutoff: Annotated[
        bool, typer.Option(help="ingest, validate: what is known at the cut-off, as the daily DAG does.")
    ] = False,
    only_stale: Annotated[
        bool, typer.Option("--only-stale", help="performance: leave days whose labels and predictions are the same.")
    ] = False,
    approval: Annotated[
        Approval | None, typer.Option(help="promote: what an approver has answered, or that one is awaited.")
    ] = None,
    person: Annotated[str | None, typer.Option(help="promote: who answered.")] = None,
    reason: Annotated[str | None, typer.Option(help="promote: why, for the record.")] = None,
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one stage over a range of partitions, as one job.

    Verbs, in order: **ingest, validate, features, train, promote, score, drift, performance**.

    Examples:
    - `contrail stage features -p flight_delay --from 2013-10-01 --to 2013-10-31`
    - `contrail stage train -p flight_delay --from 2013-01-01 --to 2013-08-31 --set max_depth=8`
    - `contrail stage score -p flight_delay --from 2013-11-01 --model 2`

    Running a stage again is safe: it leaves the same rows.
    """
    from contrail.stages.runner import run_stage

    options = {
        "as_of_cutoff": as_of_cutoff,
        "only_stale": only_stale,
        "model": model or None,
        "params": _parse_set(set_),
        "register": register,
        "metrics_path": metrics,
        "report": report,
        "approval": approval.value if approval else None,
        "person": person,
        "reason": reason,
    }
    partitions = Partitions.parse(from_, to)
    chosen = {key: value for key, value in options.items() if value is not None}
    with _progress(f"{verb.value} {pipeline} {partitions}") as progress:
        result = run_stage(verb.value, pipeline, partitions, run_id=run_id, options=chosen, progress=progress)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), default=_plain))
        return
    quarantined = f", {result.quarantined:,} in quarantine" if result.quarantined else ""
    state = "unchanged" if result.unchanged else f"{result.rows:,} rows"
    out.print(
        f"[green]✓[/] {verb.value} {partitions}: {state}{quarantined} in {result.seconds:.1f} s",
        highlight=False,
    )
    for path in result.reports:
        out.print(f"  {path}", highlight=False, soft_wrap=True)
    if verb.value in ("score", "performance", "drift") and settings().analysts:
        out.print(f"  for analysts: {_publish_command(pipeline, partitions)}", highlight=False, soft_wrap=True)


@app.command()
def backfill(
    pipeline: PipelineOption,
    from_: FromOption,
    to: ToOption = None,
    stages: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(RANGE_STAGES)}.")] = "features,score",
    model: Annotated[
        str, typer.Option(help="champion, challenger, a version, or as-of: the champion as of each partition.")
    ] = "champion",
    publish: Annotated[
        str, typer.Option(help="whole: one job, one commit. chunk: a commit a chunk. partition: a commit a day.")
    ] = "whole",
    chunk_days: Annotated[
        int | None,
        typer.Option(help="Partitions a job, with --publish chunk or partition. Default: the environment's."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    begin: Annotated[
        bool, typer.Option("--begin", help="Show the plan, keep what is there before, and stop: parts follow by --id.")
    ] = False,
    report: Annotated[bool, typer.Option(help="End with the difference report.")] = True,
    backfill_id: Annotated[
        str | None, typer.Option("--id", help="Name of this backfill, for commands that are parts of one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run stages over a range as a few large jobs: the plan first, the difference last.

    What already holds exactly this result is left as it is, so a backfill that was killed goes on where it stopped:
    give the same command again.

    Examples:
    - `contrail backfill -p flight_delay --from 2013-10-01 --to 2013-12-31 --dry-run`
    - `contrail backfill -p flight_delay --from 2013-10-01 --to 2013-12-31 --stages score --model 2`
    - `contrail backfill -p flight_delay --from 2013-01-01 --to 2013-12-31 --publish chunk --chunk-days 92`

    The report is in `<reports>/<pipeline>/backfills`, as HTML and JSON.
    """
    from contrail.operations.backfill import Backfills
    from contrail.operations.backfill_plan import Request

    partitions = Partitions.parse(from_, to)
    named = tuple(name.strip() for name in stages.split(",") if name.strip())
    request = Request(partitions, named, model, publish, chunk_days)
    loaded = load_pipeline(pipeline)
    backfills = Backfills(loaded, settings(), _lake(loaded))
    plan = backfills.plan(request)
    _print_plan(plan, err if as_json else out)
    result: dict[str, Any] = {"plan": plan.as_dict(), "jobs": [], "reports": []}
    if not dry_run and not (plan.nothing_to_do and backfill_id is None and not backfills.interrupted(plan)):
        with _progress(f"backfill {pipeline} {partitions}") as progress:
            record = backfills.open(plan, backfill_id, progress)
            result["id"] = record.id
            if not begin:
                result["jobs"] = [job.as_dict() for job in backfills.run(plan, record, progress)]
                if report:
                    result["reports"] = backfills.finish(record)
                    _show_analysts(pipeline, partitions, progress)
        _print_backfill(record, result, err if as_json else out)
    if as_json:
        typer.echo(json.dumps(result, default=_plain))


@app.command()
def publish(
    pipeline: PipelineOption,
    from_: FromOption,
    to: ToOption = None,
    table: Annotated[
        list[str], typer.Option("--table", help="predictions, performance or drift; may be given again. Default: all.")
    ] = [],  # noqa: B006
    again: Annotated[bool, typer.Option("--again", help="Also replace what is recorded as published.")] = False,
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy predictions, performance and drift to the analysts' warehouse, and compare it with the lake.

    Only partitions that are different there are replaced, all of them at once; the rest is left as it is. Needs an
    environment with `analysts`, such as prod; in dev, analysts use `contrail query`.

    Example: `contrail publish -p flight_delay --from 2013-11-01 --to 2013-11-30`
    """
    from contrail.stages.runner import run_stage

    partitions, options = Partitions.parse(from_, to), {"tables": table, "again": again}
    with _progress(f"publish {pipeline} {partitions}") as progress:
        result = run_stage("publish", pipeline, partitions, run_id=run_id, options=options, progress=progress)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), default=_plain))
        return
    for name, copied in result.details["tables"].items():
        replaced = (
            f"{copied['rows']:,} rows: {', '.join(copied['partitions'])}" if copied["partitions"] else "unchanged"
        )
        out.print(f"[green]✓[/] {name}: {replaced}", highlight=False, soft_wrap=True)


def _show_analysts(
    pipeline: str, partitions: Partitions, progress: Callable[[str], None], tables: Sequence[str] = ()
) -> None:
    """Publish what a person's command has changed, where analysts have a warehouse."""
    from contrail.stages.runner import run_stage

    if settings().analysts:
        # What was changed stays so when this fails: then it is known which command is left to do.
        progress(f"for analysts: {_publish_command(pipeline, partitions)}")
        run_stage("publish", pipeline, partitions, options={"tables": tables}, progress=progress)


def _publish_command(pipeline: str, partitions: Partitions) -> str:
    return f"contrail publish -p {pipeline} --from {partitions.start} --to {partitions.end}"


@app.command()
def late(
    pipeline: PipelineOption,
    on: Annotated[str, typer.Option("--on", help="The day at whose cut-off to look back.", show_default=False)],
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in files of past days that came late or anew, and rebuild the features that they touch.

    Days are scored again only where `score.late_data` says `rescore`; what became different is in the table
    `corrections`, with a report for each.

    Example: `contrail late -p flight_delay --on 2013-11-03`
    """
    from contrail.operations.backfill import Backfills
    from contrail.operations.late import correct

    loaded = load_pipeline(pipeline)
    day = Partitions.parse(on)
    with _progress(f"late {pipeline} {day}") as progress:
        found = correct(Backfills(loaded, settings(), _lake(loaded)), day.start, run_id, progress)
    if as_json:
        typer.echo(json.dumps({"details": asdict(found)}))
        return
    if not found.files:
        out.print("[green]✓[/] nothing came late", highlight=False)
        return
    out.print(
        f"[green]✓[/] taken in: {', '.join(found.files)}; {len(found.days)} days are different now, "
        f"{found.decisions_flipped} decisions flipped",
        highlight=False,
        soft_wrap=True,
    )
    for path in found.reports:
        out.print(f"  {path}", highlight=False, soft_wrap=True)
    if found.days and settings().analysts:
        days = Partitions.parse(min(found.days), max(found.days))
        out.print(f"  for analysts: {_publish_command(pipeline, days)}", highlight=False, soft_wrap=True)


@app.command()
def difference(
    pipeline: PipelineOption,
    backfill_id: Annotated[str, typer.Option("--id", help="The backfill's name.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write the difference report of a backfill: what is published now against what was there before it."""
    from contrail.operations.backfill import Backfills

    loaded = load_pipeline(pipeline)
    backfills = Backfills(loaded, settings(), _lake(loaded))
    record = backfills.record(backfill_id)
    with _progress(f"difference {pipeline} {record.partitions}") as progress:
        progress("comparing with what was published before")
        result = {"id": record.id, "reports": backfills.finish(record)}
    _print_backfill(record, result, err if as_json else out)
    if as_json:
        totals = {table: compared["total"] for table, compared in record.difference.items()}
        typer.echo(json.dumps({**result, "difference": totals}, default=_plain))


def _print_plan(plan: "Plan", console: Console) -> None:
    from contrail.reports.difference import summary as sentences

    shown = plan.as_dict()
    title = f"Plan: {plan.pipeline} {shown['partitions']} ({shown['days']} partitions)"
    table = Table("stage", "partitions", "days", "rows", "published", "what", "why", "made by", title=title)
    for stage in shown["stages"]:
        for group in stage["partitions"]:
            counts = (_number(group[key]) for key in ("days", "rows", "published"))
            version = [f"version {group['version']}"] if group["version"] else []
            runs = [f"{len(group['runs'])} runs"] if len(group["runs"]) > 1 else [f"run {run}" for run in group["runs"]]
            made_by = ", ".join(version + runs)
            table.add_row(stage["stage"], group["partitions"], *counts, group["action"], group["why"], made_by)
        if not stage["partitions"]:
            table.add_row(stage["stage"], shown["partitions"], f"{shown['days']:,}", "", "", "run", "", "")
    console.print(table)
    for stage in shown["stages"]:
        jobs = f"{len(stage['jobs'])} job(s): {', '.join(stage['jobs'])}" if stage["jobs"] else "no jobs"
        seconds = stage["estimated_seconds"]
        taken = "time not known" if seconds is None else f"about {seconds:.1f} s"
        console.print(f"{stage['stage']}: {jobs}; {taken} ({stage['estimated_from']})", highlight=False, soft_wrap=True)
    for model in shown["models"]:
        console.print(f"model: version {model['version']} for {model['partitions']}", highlight=False)
    for name, rows in shown["expected_difference"].items():
        more, fewer = _number(rows["more_rows"]), _number(rows["fewer_rows"])
        console.print(f"expected difference of {name}: {more} rows more, {fewer} fewer", highlight=False)
        if rows["sample"]:
            (words,) = sentences({name: {"total": rows["sample"]}})
            console.print(f"  scored for this plan: {', '.join(rows['sample']['days'])}: {words}", highlight=False)
        elif name == "predictions" and "features" in shown["expected_difference"]:
            console.print("  how scores will shift is known when their features are built", highlight=False)
    minutes = shown["estimated_minutes"]
    taken = "not known yet" if minutes is None else f"about {minutes} minutes"
    console.print(f"publish: {shown['publish']}; time: {taken}; cost: {shown['cost']}", highlight=False)
    if plan.nothing_to_do:
        console.print("Every partition already holds exactly this result: there is nothing to do.", highlight=False)


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _print_backfill(record: "Record", result: dict[str, Any], console: Console) -> None:
    from contrail.reports.difference import summary as sentences

    jobs = f": {len(result['jobs'])} job(s)" if "jobs" in result else ""
    console.print(f"[green]✓[/] backfill {record.id}{jobs}", highlight=False, soft_wrap=True)
    for line in [*(sentences(record.difference) if result["reports"] else []), *result["reports"]]:
        console.print(f"  {line}", highlight=False, soft_wrap=True)


@app.command()
def land(pipeline: PipelineOption, from_: FromOption, to: ToOption = None) -> None:
    """Deliver files to the landing zone with the pipeline's own source adapter.

    A team whose files arrive by themselves does not need this: put them at
    `<landing>/<pipeline>/<table>/<date>.csv.gz`.
    """
    partitions = Partitions.parse(from_, to)
    loaded = load_pipeline(pipeline)
    landing = settings().landing / pipeline
    landing.mkdir(parents=True, exist_ok=True)
    with _progress(f"land {pipeline} {partitions}") as progress:
        progress(f"writing to {landing}")
        written = loaded.function("source", "land")(landing, partitions)
    out.print(f"[green]✓[/] land {partitions}: {written:,} files written, the rest unchanged", highlight=False)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="Any DuckDB SELECT.", show_default=False)],
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="Default: flight_delay.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.table,
    limit: Annotated[int, typer.Option(help="Rows shown in a table; csv and json print all.")] = 50,
) -> None:
    """Ask the lake in SQL. Every table is a view.

    raw_*, validated_*, features, predictions, predictions_latest, quarantine, refusals, drift, performance,
    predictions_shadow, model_history, governor.

    Examples:
    - `contrail query "SELECT * FROM predictions_latest ORDER BY probability DESC LIMIT 10"`
    - `contrail query "SELECT rule, count(*) FROM quarantine GROUP BY rule" --format json`
    - `contrail query "DESCRIBE predictions"`
    """
    import duckdb

    lake = _lake(load_pipeline(_default_pipeline(pipeline)))
    with lake.connect() as connection:
        try:
            relation = connection.sql(sql)
        except duckdb.Error as error:
            raise SpecError(f"the query failed: {error}\nTables: {', '.join(lake.table_names())}") from error
        if relation is None:
            return
        _print_rows(relation, format_, limit)


def _print_rows(relation: Any, format_: Format, limit: int) -> None:
    columns = list(relation.columns)
    if format_ is Format.csv:
        typer.echo(relation.df().to_csv(index=False), nl=False)
    elif format_ is Format.json:
        rows = relation.fetchall()
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=_plain))
    else:
        rows = relation.limit(limit + 1).fetchall()
        table = Table(*columns, header_style="bold")
        for row in rows[:limit]:
            table.add_row(*("" if value is None else _cell(value) for value in row))
        out.print(table)
        if len(rows) > limit:
            err.print(f"Only the first {limit} rows are shown; --limit shows more, --format csv all.")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_MARKS = {
    "ok": "[green]ok[/]",
    "stale": "[yellow]stale[/]",
    "missing": "[dim]–[/]",
    "refused": "[red]refused[/]",
    "waiting": "[dim]waiting[/]",
}


@app.command()
def status(
    pipeline: PipelineOption,
    from_: Annotated[str | None, typer.Option("--from", help="First partition. Default: the pipeline's.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last partition.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show partitions × stages: what is done, stale, refused, or not known yet."""
    from contrail.operations.status import STAGES, grouped, partition_status

    loaded = load_pipeline(pipeline)
    wanted = Partitions.parse(from_, to) if from_ else None
    statuses = partition_status(_lake(loaded), loaded.spec, wanted)
    if as_json:
        typer.echo(json.dumps([{"partition": s.partition, **s.stages} for s in statuses], default=_plain))
        return
    table = Table("partitions", "days", *STAGES, header_style="bold", title=f"{pipeline}: partitions × stages")
    for partitions, states in grouped(statuses):
        table.add_row(str(partitions), str(len(partitions)), *(_MARKS[states[name]] for name in STAGES))
    out.print(table)
    err.print("[dim]stale: an input was published later; run the stage again. waiting: not known yet.[/]")


@app.command()
def describe(
    table: Annotated[str | None, typer.Argument(help="A table. Default: all of them, a line each.")] = None,
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="Default: flight_delay.")] = None,
) -> None:
    """Document a table: what a row is, and each column's type and meaning."""
    from contrail.lake.datasets import all_datasets

    datasets = all_datasets(load_pipeline(_default_pipeline(pipeline)).spec)
    if table is None:
        shown = Table("table", "what a row is", header_style="bold")
        for name, dataset in datasets.items():
            shown.add_row(name, dataset.doc)
    elif table in datasets:
        shown = Table("column", "type", "null?", "meaning", header_style="bold", title=datasets[table].doc)
        for name, column in datasets[table].columns.items():
            shown.add_row(name, column.type, "" if column.required else "yes", column.doc)
    else:
        raise SpecError(f"no table '{table}'. Tables: {', '.join(datasets)}")
    out.print(shown)


@app.command()
def history(
    table: Annotated[str, typer.Argument(help="A table, for example predictions.", show_default=False)],
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="Default: flight_delay.")] = None,
    limit: Annotated[int, typer.Option(help="Newest snapshots shown.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List a table's snapshots, newest first, and what made each."""
    entries = _lake(load_pipeline(_default_pipeline(pipeline))).history(table)
    if as_json:
        typer.echo(json.dumps([entry.as_json() for entry in entries], default=_plain))
        return
    shown = Table(
        "snapshot",
        "committed at (UTC)",
        "stage",
        "partitions",
        "rows",
        "run",
        "code",
        "inputs",
        header_style="bold",
    )
    for entry in entries[:limit]:
        mark, made = " ← current" if entry.current else "", entry.provenance
        shown.add_row(
            f"{entry.snapshot}{mark}",
            entry.committed_at[:19],
            made.stage,
            entry.commit.label,
            str(entry.rows),
            made.run_id,
            made.code_revision[:8],
            ", ".join(f"{table}@{snapshot}" for table, snapshot in made.inputs.items()),
        )
    out.print(shown)


@app.command()
def rollback(
    table: Annotated[str, typer.Argument(help="A table, for example predictions.", show_default=False)],
    to: Annotated[int, typer.Option("--to", help="Snapshot id from `contrail history`.", show_default=False)],
    pipeline: Annotated[str | None, typer.Option("--pipeline", "-p", help="Default: flight_delay.")] = None,
) -> None:
    """Make an earlier snapshot of a table current, in one atomic commit, and show it to the analysts.

    Later snapshots are kept and can be rolled forward to by their id.
    """
    from contrail.lake.warehouse import TABLES

    name = _default_pipeline(pipeline)
    lake = _lake(load_pipeline(name))
    snapshot = lake.snapshot_id(table)
    before = lake.partitions(table) if table in TABLES else {}
    lake.rollback(table, to)
    out.print(
        f"[green]✓[/] {table}: {snapshot} → {to}. To undo: contrail rollback {table} --to {snapshot}",
        soft_wrap=True,
    )
    after = lake.partitions(table) if table in TABLES else {}
    if changed := [day for day in {**before, **after} if before.get(day) != after.get(day)]:
        with _progress(f"rollback {table}") as progress:
            _show_analysts(name, Partitions(min(changed), max(changed)), progress, [table])


@app.command()
def summary(pipeline: PipelineOption, as_json: JsonOption = False) -> None:
    """Say in a screenful how a pipeline stands: rows, quarantine, champion, realised quality, drift."""
    from contrail.operations.summary import print_summary, summarise

    found = summarise(load_pipeline(pipeline), _lake(load_pipeline(pipeline)))
    if as_json:
        typer.echo(json.dumps(found, default=_plain))
    else:
        print_summary(found, out)


@app.command()
def cost(
    pipeline: PipelineOption,
    month: Annotated[
        str | None, typer.Option(help="YYYY-MM, of the jobs' submission (UTC). Default: this one.")
    ] = None,
    assume: Annotated[
        list[str],
        typer.Option(help="A guess instead of receipts: STAGE=JOBSxMINUTES of a month; may be given again."),
    ] = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Show what a pipeline's remote jobs cost in a month: each one's estimate beside its cost, and what is left.

    A job that runs, or whose end Airflow has not seen, counts as estimated. Prices are the environment's
    (`dispatch.prices`), so is the budget (`dispatch.monthly_budget`).

    Examples:
    - `contrail cost -p flight_delay --month 2026-11`
    - `contrail cost -p flight_delay --assume features=30x4 --assume train=1x10`
    """
    from contrail.dispatch import budget
    from contrail.dispatch.receipts import Receipts, month_of, utc_now
    from contrail.methods.cost import Assumption

    receipts = Receipts.of(settings(), load_pipeline(pipeline).name)
    if receipts is None:
        raise SpecError(f"the environment {settings().name} has no price table: dispatch.prices in its file names one")
    if assume:
        lines = budget.assumed(receipts, [Assumption.parse(text) for text in assume])
        _print_assumed(pipeline, receipts.prices, lines, as_json)
        return
    try:
        wanted = month_of(date.fromisoformat(f"{month}-01")) if month else month_of(utc_now())
    except ValueError as error:
        raise SpecError(f"--month {month}: write it as YYYY-MM, for example 2026-11") from error
    found = receipts.month(wanted)
    if as_json:
        typer.echo(json.dumps(found.report(pipeline).model_dump(mode="json")))
    else:
        _print_month(pipeline, found)


def _print_month(pipeline: str, month: "Month") -> None:
    from contrail.methods.cost import money

    table = Table("submitted (UTC)", "stage", "partitions", "target", "state", title=f"{pipeline}: {month.month}")
    for name in ("minutes", "estimate", "cost"):
        table.add_column(name, justify="right")
    table.add_column("note")
    for one in month.receipts:
        amounts = ("" if amount is None else money(amount, one.currency) for amount in (one.estimate, one.cost))
        minutes = "" if one.seconds is None else f"{one.seconds / 60:.1f}"
        about = one.note or (one.estimated_from if one.state == "open" else "")
        what = (one.stage, one.partitions, one.target, one.state)
        table.add_row(f"{one.submitted_at:%Y-%m-%d %H:%M}", *what, minutes, *amounts, escape(about))
    out.print(table)
    budget, left = ("" if amount is None else money(amount, month.currency) for amount in (month.budget, month.left))
    room = f"; budget {budget}, {left} left" if budget else "; no budget is set"
    out.print(f"{month}{room}", highlight=False, soft_wrap=True)


def _print_assumed(pipeline: str, prices: "PriceTable", lines: list[tuple[str, float]], as_json: bool) -> None:
    from contrail.methods.cost import money

    total = sum(amount for _, amount in lines)
    if as_json:
        parts = {"read_on": prices.read_on, "region": prices.region, "currency": prices.currency}
        typer.echo(
            json.dumps({"pipeline": pipeline, "prices": parts, "lines": dict(lines), "total": total}, default=_plain)
        )
        return
    table = Table("of a month", title=f"{pipeline}: assumed, not measured")
    table.add_column("cost", justify="right")
    for what, amount in [*lines, ("all of it", total)]:
        table.add_row(what, money(amount, prices.currency))
    out.print(table)
    out.print(f"List prices of {prices.region} on {prices.read_on} ({prices.file}).", highlight=False)


# ---- models: who is champion, and changing it ----


@app.command()
def champions(
    pipeline: PipelineOption,
    on: Annotated[str | None, typer.Option("--on", help="A day, YYYY-MM-DD. Default: every move.")] = None,
    clock: Annotated[bool, typer.Option(help="--on is a day of the calendar (UTC), not a partition.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which version was champion on a day, since when, why, and who made it so.

    The champion of a partition is what holds for it now: after a rollback, the version that took over. `--clock` asks
    where the alias pointed at the end of that day.

    Examples:
    - `contrail champions -p flight_delay --on 2013-11-03`
    - `contrail query "SELECT * FROM model_history ORDER BY moved_at"`
    """
    from contrail.operations.champions import champion_moves, champion_of, moved_elsewhere

    loaded = load_pipeline(pipeline)
    moves = champion_moves(_lake(loaded))
    found = [champion_of(pipeline, moves, on, clock)] if on else moves
    if note := moved_elsewhere(pipeline, moves):
        err.print(f"[yellow]![/] {note}", highlight=False, soft_wrap=True)
    if as_json:
        rows = [asdict(move) for move in found]
        typer.echo(json.dumps(rows[0] if on else rows, default=_plain))
        return
    table = Table("version", "for partitions from", "moved at (UTC)", "before", "person", "reason", "run")
    for move in found:
        moved_at, before = f"{move.moved_at:%Y-%m-%d %H:%M:%S}", move.version_before or "–"
        since = str(move.effective_from)
        table.add_row(
            move.version_after, since, moved_at, before, *map(escape, (move.person, move.reason, move.run_id))
        )
    out.print(table)


@app.command()
def promote(
    pipeline: PipelineOption,
    model: Annotated[str, typer.Option(help="The version to judge.", show_default=False)],
    from_: Annotated[
        str | None, typer.Option("--from", help="First day of the gate. Default: the last window.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Its last day, inclusive.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Put a version through the gate; if it passes it becomes champion, in your name.

    Without `--from`, the gate has the newest days that have features and labels, as a training run would choose them.

    Example: `contrail promote -p flight_delay --model 3 --reason "new carrier"`
    """
    from contrail.notify.delivery import deliver, telling_of_failure
    from contrail.notify.messages import of_result
    from contrail.operations.champions import newest_gate
    from contrail.stages.runner import run_stage

    if to and not from_:
        raise SpecError("--to needs --from: give both days of the gate, or neither")
    loaded = load_pipeline(pipeline)
    window = Partitions.parse(from_, to) if from_ else newest_gate(loaded.spec, _lake(loaded))
    options = {"model": model, "approval": "approved", "person": current_person(), "reason": reason}
    where = f"{pipeline} promote {window} by {current_person()}"
    with _progress(f"promote {pipeline} {window}") as progress, telling_of_failure(where):
        result = run_stage("promote", pipeline, window, options=options, progress=progress)
    if message := of_result(where, "promote", pipeline, result.details):
        deliver(message)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), default=_plain))
        return
    before = result.details["champion_before"]
    taken = f" in place of version {before}" if before else ""
    out.print(f"[green]✓[/] version {result.details['model_version']} is champion{taken}", highlight=False)
    for path in result.reports:
        out.print(f"  {path}", highlight=False, soft_wrap=True)


@app.command()
def rollback_model(
    pipeline: PipelineOption,
    to: Annotated[str, typer.Option("--to", help="Version that becomes champion again.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the record.", show_default=False)],
    dry_run: Annotated[bool, typer.Option(help="Show the plan and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take back the champion: re-point the alias and rescore every partition that the bad version scored.

    Prints the plan first. Stopped half-way, the same command goes on.

    Example: `contrail rollback-model -p flight_delay --to 2 --reason "wrong weather feed" --dry-run`
    """
    from contrail.notify.delivery import deliver, telling_of_failure
    from contrail.notify.messages import of_rollback
    from contrail.operations.rollback_model import plan_rollback, roll_back

    loaded = load_pipeline(pipeline)
    plan = plan_rollback(loaded, _lake(loaded), to)
    table = Table(
        "partitions", "days", "rows", "scored by", "will be scored by", title=f"{pipeline}: plan of a rollback"
    )
    for days, rows in plan.jobs:
        table.add_row(str(days), str(len(days)), f"{rows:,}", f"version {plan.bad}", f"version {plan.to}")
    err.print(table)
    err.print(f"Champion for partitions from {plan.effective_from}: version {plan.to} instead of {plan.bad}.")
    done: dict[str, Any] = {**plan.as_dict(), "dry_run": dry_run}
    if not dry_run:
        where = f"{pipeline} rollback-model by {current_person()}"
        with _progress(f"rollback-model {pipeline}") as progress, telling_of_failure(where):
            done |= roll_back(plan, person=current_person(), reason=reason, progress=progress)
            if plan.scored:
                _show_analysts(pipeline, Partitions(min(plan.scored), max(plan.scored)), progress)
        deliver(of_rollback(where, done))
    if as_json:
        typer.echo(json.dumps(done, default=_plain))
    elif dry_run:
        out.print("Nothing was changed; leave out --dry-run to do it.")
    else:
        out.print(
            f"[green]✓[/] version {plan.to} is champion; {done['rescored_rows']:,} rows rescored. Performance of these "
            f"days is of the old predictions until it is measured again: the DAG monitor does so with its next day for the "
            f"last {loaded.spec.measured_again_days} of them, contrail stage performance for the others.",
            highlight=False,
            soft_wrap=True,
        )


@app.command()
def govern(
    pipeline: PipelineOption,
    on: Annotated[str, typer.Option("--on", help="The day to decide for, YYYY-MM-DD.", show_default=False)],
    reason: Annotated[str, typer.Option(help="You ask for a training, for this reason.")] = "",
    insist: Annotated[
        bool, typer.Option("--insist", help="In spite of the cool-down and missing labels; the budget still refuses.")
    ] = False,
    asked: Annotated[Asked | None, typer.Option(help="Who asks. Default: by-hand with --reason, else monitor.")] = None,
    person: Annotated[str | None, typer.Option(help="by-hand: who it is. Default: you.")] = None,
    training: Annotated[str | None, typer.Option(help="Run of the DAG train that waits for the decision.")] = None,
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide whether to retrain, from drift, performance and past trainings, and record it in `governor`.

    With `--reason` a person asks; the cool-down, the labels and the budget may still refuse. Nothing is trained, and what
    you were told does not count as a training: the DAG `train` asks the same before it trains, and the DAG `monitor`
    starts it when it decides so.

    Example: `contrail govern -p flight_delay --on 2013-11-03`
    """
    from contrail.stages.runner import run_stage

    day = Partitions.parse(on)
    asks = asked or (Asked.by_hand if reason else Asked.monitor)
    options: dict[str, Any] = {"asked": asks.value, "reason": reason, "insist": insist, "training": training}
    if asks == Asked.by_hand:
        options["person"] = person or current_person()
    with _progress(f"govern {pipeline} {day}") as progress:
        result = run_stage("govern", pipeline, day, run_id=run_id, options=options, progress=progress)
    if as_json:
        typer.echo(json.dumps(result.as_dict(), default=_plain))
        return
    found = result.details
    trigger = f" (trigger: {found['trigger']})" if found["trigger"] else ""
    out.print(f"[bold]{found['decision']}[/] for {on}{trigger}", highlight=False)
    for line in found["reasons"]:
        out.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def pipelines() -> None:
    """List the pipelines of this project."""
    table = Table("name", "task", "title", "owner", "first partition", header_style="bold")
    for name in pipeline_names():
        spec = load_pipeline(name).spec
        table.add_row(name, spec.task, spec.title, spec.owner, str(spec.first_partition))
    out.print(table)


def main() -> None:
    """Run the command line; an error that Contrail knows is printed without a traceback."""
    try:
        settings()  # before any library is imported: it switches off their calls home
        with google_errors():
            app(standalone_mode=False)
    except ContrailError as error:
        # Messages quote landed text, which may look like markup.
        err.print(f"[red]✗[/] {type(error).__name__}: {escape(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from None
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None
    except typer.Abort:
        raise SystemExit(130) from None
    except BrokenPipeError:  # `contrail query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except Exception as error:
        if hasattr(error, "show"):  # click's usage errors
            error.show()
            raise SystemExit(getattr(error, "exit_code", 2)) from None
        raise

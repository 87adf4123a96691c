"""The desk of the lake's tables: see their state, their history, and roll one back. ``queries`` asks them in SQL."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from contrail.cli import printing
from contrail.cli.help import TABLES, command
from contrail.cli.options import (
    DATE,
    AnyPipelineOption,
    JsonOption,
    PipelineOption,
    end_changes,
    lake_of,
)
from contrail.cli.printing import cell, done, indented, print_json, progress, say
from contrail.cli.stages import show_analysts
from contrail.config.pipeline import default_pipeline, load_pipeline
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES

app = typer.Typer()
_UNUSUAL_SHOWN = 5
_MARKS = {
    "ok": "[green]ok[/]",
    "stale": "[yellow]stale[/]",
    "missing": "[dim]–[/]",
    "refused": "[red]refused[/]",
    "waiting": "[dim]waiting[/]",
    "unknown": "[dim]unknown[/]",
}


@command(app, "status", TABLES)
def status(
    pipeline: PipelineOption,
    from_: Annotated[
        str | None, typer.Option("--from", metavar=DATE, help="First partition. Default: the pipeline's.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar=DATE, help="Last partition. Default: the last known one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show partitions × stages: what is done, stale and why, refused, or not known yet. Then the newest unusual days."""
    from contrail.operations.champions import champion_moves, moved_elsewhere
    from contrail.operations.status import grouped, next_commands, partition_status, reasons, remedy
    from contrail.operations.unusual import unusual_days

    loaded = load_pipeline(pipeline)
    end_changes("status", loaded)
    first, last = (None if text is None else Partitions.parse(text).start for text in (from_, to))
    lost: list[str] = []
    statuses = partition_status(lake_of(loaded), loaded, first, last, lost)
    for each in lost:
        what = f"{each.splitlines()[0]} What to do: contrail verify -p {pipeline}"
        say(f"[yellow]![/] {escape(what)}", printing.err)
    unusual = unusual_days(lake_of(loaded), Partitions(statuses[0].partition, statuses[-1].partition))
    moves = champion_moves(lake_of(loaded))
    if note := moved_elsewhere(pipeline, moves):
        say(f"[yellow]![/] {escape(note)}", printing.err)
    if as_json:
        print_json([{"partition": s.partition, **s.stages, "unusual": unusual.get(s.partition, ())} for s in statuses])
        return
    table = Table("partitions", "days", *RANGE_STAGES, header_style="bold", title=f"{pipeline}: partitions × stages")
    for partitions, states in grouped(statuses):
        table.add_row(str(partitions), str(len(partitions)), *(_MARKS[states[name]] for name in RANGE_STAGES))
    printing.out.print(table)
    say("waiting: not known yet. unknown: made before the history that the lake keeps.", printing.err)
    if command_line := remedy(pipeline, statuses):
        say("stale: what it was made of has changed since.", printing.err)
        indented(reasons(statuses), printing.err)
        say(f"To make it again: {command_line}", printing.err)
    _print_unusual(pipeline, unusual)
    if following := next_commands(pipeline, statuses, moves):
        say(f"Next: {', then '.join(following)}", printing.err)


def _print_unusual(pipeline: str, unusual: Mapping[date, tuple[str, ...]]) -> None:
    """The newest days that were unlike their table's own last ones."""
    from contrail.stages.sentences import all_unusual

    if not unusual:
        return
    newest = list(unusual.items())[-_UNUSUAL_SHOWN:]
    more = len(unusual) - len(newest)
    say(
        f"unusual: unlike the table's own last days{f'; {more} earlier ones are not shown' if more else ''}.",
        printing.err,
    )
    indented([f"{day}: {' | '.join(words)}" for day, words in newest], printing.err)
    say(f"All of them: {escape(all_unusual(pipeline))}", printing.err)


@command(app, "summary", TABLES)
def summary(pipeline: PipelineOption, as_json: JsonOption = False) -> None:
    """Summarise a pipeline on one screen: rows, quarantine, champion, realised quality, drift."""
    from contrail.operations.summary import print_summary, summarise

    found = summarise(load_pipeline(pipeline), lake_of(load_pipeline(pipeline)))
    if as_json:
        print_json(found.as_dict())
    else:
        print_summary(found, printing.out)


TableArgument = Annotated[str, typer.Argument(help="A table, for example predictions.", show_default=False)]


@command(app, "history", TABLES)
def history(
    table: TableArgument,
    pipeline: AnyPipelineOption = None,
    limit: Annotated[int, typer.Option(metavar="<rows>", help="Newest snapshots in the table; JSON has all.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List a table's snapshots, newest first, and what made each."""
    entries = lake_of(load_pipeline(default_pipeline(pipeline))).history(table)
    if as_json:
        print_json([entry.as_dict() for entry in entries])
        return
    columns = ("committed at (UTC)", "stage", "partitions", "rows", "run", "code", "inputs")
    whole = Column("snapshot", no_wrap=True, overflow="fold")  # rollback takes the whole number
    shown = Table(whole, *columns, header_style="bold")
    for entry in entries[:limit]:
        mark, made = "\n← current" if entry.current else "", entry.provenance
        shown.add_row(
            f"{entry.snapshot}{mark}",
            entry.committed_at[:16].replace("T", " "),
            cell(f"{made.stage}\nby {made.person}" if made.person else made.stage),
            entry.commit.words,
            str(entry.rows),
            cell(made.run_id),
            made.code_revision[:8],
            ", ".join(f"{name}@{snapshot}" for name, snapshot in made.inputs.items()),
        )
    printing.out.print(shown)
    for entry in entries[:limit]:
        if entry.rollback:
            say(f"{entry.snapshot}: {escape(entry.rollback)}")


@command(app, "rollback", TABLES)
def rollback(
    table: TableArgument,
    to: Annotated[
        int, typer.Option("--to", metavar="<snapshot>", help="Its id, from contrail history.", show_default=False)
    ],
    pipeline: AnyPipelineOption = None,
) -> None:
    """Make an earlier snapshot of a table current, in one atomic commit, and show it to the analysts.

    Later snapshots are kept. You can roll forward to one by its id.
    """
    from contrail.lake.warehouse import TABLES as PUBLISHED

    name = default_pipeline(pipeline)
    lake = lake_of(load_pipeline(name))
    snapshot = lake.snapshot_id(table)
    before = lake.partitions(table) if table in PUBLISHED else {}
    lake.rollback(table, to)
    done(f"{table}: {snapshot} → {to}. To undo: contrail rollback {table} -p {name} --to {snapshot}")
    after = lake.partitions(table) if table in PUBLISHED else {}
    if changed := [day for day in {**before, **after} if before.get(day) != after.get(day)]:
        with progress(f"rollback {table}") as show:
            show_analysts(name, Partitions(min(changed), max(changed)), show, [table])


@command(app, "move-away", TABLES)
def move_away(table: TableArgument, pipeline: AnyPipelineOption = None) -> None:
    """Move a table away, with all of its rows and snapshots, so that it can be made anew.

    Use it when the spec asks of a table what its rows cannot become. Nothing is lost: the moved table can be queried.
    """
    from contrail.operations.moved_table import move_table

    loaded = load_pipeline(default_pipeline(pipeline))
    moved = move_table(loaded, lake_of(loaded), table)
    done(f"{moved.name} is now {moved.moved_to}; contrail query and contrail history read it by that name")
    if moved.commands:
        printing.say(f"To make {moved.name} anew:")
        printing.indented(moved.commands)

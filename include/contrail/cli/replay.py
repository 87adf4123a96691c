"""The desk of rows in quarantine: read them, mend them, and bring them where they would have been."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import TABLES, command
from contrail.cli.options import DATE, NAME, SWITCH, TEXT, JsonOption, PipelineOption, RunOption, lake_of
from contrail.cli.printing import cell, done, indented, print_json, progress, say
from contrail.cli.stages import show_analysts
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import current_person, settings
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from contrail.stages.replayed import ReplayDetails

app = typer.Typer()

TableOption = Annotated[
    str, typer.Option("--table", metavar=NAME, help="Landed table that the rows belong to.", show_default=False)
]


@command(app, "quarantine", TABLES)
def quarantine(
    pipeline: PipelineOption,
    table: TableOption,
    rule: Annotated[str | None, typer.Option(metavar=NAME, help="Only rows that broke this rule.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar=DATE, help="First partition. Default: all.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar=DATE, help="Last partition. Default: the last.")] = None,
    personal: Annotated[
        bool, typer.Option("--personal", metavar=SWITCH, help="Also write the personal columns, as they landed.")
    ] = False,
) -> None:
    """Write the rows of a table that are in quarantine as CSV, to mend them.

    Change the values, and give the file to `contrail replay`. Delete rows and columns that you leave as they are, or leave
    them in it. `_file` and `_line` say which row it is.
    """
    from contrail.operations.quarantine import rows_to_mend

    loaded = load_pipeline(pipeline)
    first, last = (Partitions.parse(day).start if day else None for day in (from_, to))
    for line in rows_to_mend(lake_of(loaded), loaded, table, rule, first, last, personal):
        sys.stdout.write(line)


@command(app, "replay", TABLES)
def replay(
    pipeline: PipelineOption,
    table: TableOption,
    reason: Annotated[str, typer.Option(metavar=TEXT, help="Why, for the record.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Option(metavar="<path>", help="Mended rows as CSV or Parquet, with _file and _line.", show_default=False),
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(
            "--sql", metavar="<select>", help="One SELECT of mended rows from quarantined.", show_default=False
        ),
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar=NAME, help="Who mends, for the record.", show_default="you")
    ] = None,
    personal: Annotated[
        bool, typer.Option("--personal", metavar=SWITCH, help="Also mend personal columns, and see them in SQL.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=SWITCH, help="Show what would change, and change nothing.")
    ] = False,
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring mended rows of the quarantine where they would have been, and build again what they reach.

    The mended rows keep the same contract. Those that still break a rule stay in quarantine with the new reason. The landed
    files stay as they are: the table `mended` has each mend, with who, when, why, from which values and to which. Later
    validations read it.

    In SQL, `quarantined` has the table's rows in quarantine: each landed column as text, `_file`, `_line`, `_rule` and
    `_detail`. Columns that you leave out stay as they landed. Running it again is safe.
    """
    from contrail.operations.backfill import Backfills
    from contrail.operations.replay import Asked, Replay
    from contrail.stages.replayed import ReplayResult

    loaded = load_pipeline(pipeline)
    asked = Asked(table, person or current_person(), reason, file, sql, personal)
    work = Replay(Backfills(loaded, settings(), lake_of(loaded)), asked, run_id)
    with progress(f"replay {pipeline} {table}") as show:
        found = work.plan(show) if dry_run else work.run(show)
        if found.different:
            show_analysts(pipeline, Partitions.parse(min(found.different), max(found.different)), show)
    if as_json:
        print_json(ReplayResult(pipeline=pipeline, details=found).as_dict())
    else:
        _print(pipeline, found)


def _print(pipeline: str, found: "ReplayDetails") -> None:
    from contrail.stages.replayed import ReplayResult
    from contrail.stages.sentences import sentence

    if found.rows:
        shown = Table("day", "file, line", "was for", "changes", "now", header_style="bold")
        for row in found.rows:
            changes = ", ".join(f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in row.changes.items())
            now = f"{row.still}: {row.detail}" if row.still else "passes"
            shown.add_row(*map(cell, (row.day, f"{row.file}, {row.line}", row.rule, changes, now)))
        printing.out.print(shown)
        if found.mended > len(found.rows):
            say(f"and {found.mended - len(found.rows):,} more rows")
    done(escape(sentence("replay", ReplayResult(pipeline=pipeline, details=found))))
    lines = {
        "days": ", ".join(found.days),
        "days whose rows refer to them": ", ".join(found.following),
        "features built again": found.features,
        "scored again": found.scores,
        "refused all the same": "; ".join(found.refused),
    }
    indented(f"{name}: {text}" for name, text in lines.items() if text)
    indented(found.reports)
    if found.replay:
        indented([f"contrail query -p {pipeline} \"SELECT * FROM mended WHERE replay = '{found.replay}'\""])


def _value(text: str | None) -> str:
    return "nothing" if text is None else text

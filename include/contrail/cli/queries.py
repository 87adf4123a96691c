"""The desk of analysts: ask the tables in SQL, learn what they hold, and attach them to another program."""

import csv
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing, shell
from contrail.cli.help import TABLES, command
from contrail.cli.options import SWITCH, AnyPipelineOption, Format, lake_of
from contrail.cli.printing import cell, done, print_json, print_rows, say
from contrail.config.pipeline import Pipeline, default_pipeline, load_pipeline
from contrail.errors import SpecError
from contrail.partitions import parse_moment

app = typer.Typer()


@command(app, "query", TABLES)
def query(
    sql: Annotated[
        str | None, typer.Argument(help="One SELECT, in DuckDB's dialect. Default: a shell.", show_default=False)
    ] = None,
    pipeline: AnyPipelineOption = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.table,
    limit: Annotated[
        int, typer.Option(metavar="<rows>", min=0, max=1_000_000, help="Rows shown in a table; csv and json print all.")
    ] = 50,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="<time>", help="Show each table as it was at this time, UTC. Default: as it is now."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="<seconds>", min=0.001, max=86_400, help="Give up after so long.")
    ] = 600,
    personal: Annotated[
        bool,
        typer.Option("--personal", metavar=SWITCH, help="Show the values of personal columns, not pseudonyms."),
    ] = False,
) -> None:
    """Query the lake in SQL. Every table is a view; a query can only read.

    Without SQL it opens a shell, in which the next question is answered in tenths of a second. Off a terminal it reads
    one question from standard input.

    Personal columns have pseudonyms, which are others in each answer. With `--personal` you see what the files have.

    `contrail describe` lists and documents the tables. WITH, DESCRIBE, SHOW and EXPLAIN work too.
    """
    from contrail.lake.sql import ask

    loaded = load_pipeline(default_pipeline(pipeline))
    lake, moment = lake_of(loaded), parse_moment(as_of, "--as-of")

    def answer(question: str) -> None:
        with ask(lake, loaded.spec, question, seconds, moment, personal, alone=True) as found:
            if format_ is Format.csv:
                lines = csv.writer(sys.stdout, lineterminator="\n")
                lines.writerow(found.columns)
                lines.writerows(found.rows())
            elif format_ is Format.json:
                print_json([dict(zip(found.columns, row, strict=True)) for row in found.rows()])
            else:
                print_rows(found.columns, found.first(limit + 1), limit)

    if sql is not None:
        answer(sql)
    elif sys.stdin.isatty():
        shell.run(loaded.name, answer, lambda table: _describe(loaded, table))
    elif question := sys.stdin.read().strip():
        answer(question)
    else:
        raise SpecError(
            "there is no question. Write it after the command: "
            f'contrail query -p {loaded.name} "SELECT * FROM predictions"'
        )


@command(app, "describe", TABLES)
def describe(
    table: Annotated[str | None, typer.Argument(help="A table. Default: all of them, a line each.")] = None,
    pipeline: AnyPipelineOption = None,
) -> None:
    """Document a table: what a row is, what publishes it, and each column's type and meaning."""
    _describe(load_pipeline(default_pipeline(pipeline)), table)


def _describe(pipeline: Pipeline, table: str | None) -> None:
    from contrail.lake.views import shown, unknown_table

    datasets = shown(pipeline.spec)
    if table is None:
        listed = Table("table", "what a row is", header_style="bold")
        for name, dataset in datasets.items():
            listed.add_row(name, cell(dataset.doc))
    elif table in datasets:
        found = datasets[table]
        made_by = " or ".join(f"contrail {name}" for name in found.published_by)
        title = cell(f"{found.doc} Published by {made_by}.")
        listed = Table("column", "type", "null?", "personal?", "meaning", header_style="bold", title=title)
        for name, column in found.columns.items():
            marks = ("" if column.required else "yes", "yes" if column.personal else "")
            listed.add_row(name, column.type, *marks, cell(column.doc))
    else:
        raise unknown_table(pipeline.spec, table, datasets)
    printing.out.print(listed)


@command(app, "attach", TABLES)
def attach(
    file: Annotated[Path, typer.Argument(help="A file of DuckDB, new or there already.", show_default=False)],
    pipeline: AnyPipelineOption = None,
    personal: Annotated[
        bool,
        typer.Option("--personal", metavar=SWITCH, help="Show the values of personal columns, not pseudonyms."),
    ] = False,
) -> None:
    """Write views of all tables into a DuckDB file, for plain DuckDB or a BI tool. The rows stay in the lake.

    The views show the lake as it is now. Run the command again to bring them up to date. They are in a schema with the
    pipeline's name; what else is in the file stays.
    """
    from contrail.operations.attach import ABOUT, attach

    loaded = load_pipeline(default_pipeline(pipeline))
    made = attach(loaded, lake_of(loaded), file, personal)
    done(f"{made.views} views as of {_utc(made.as_of)} in {escape(str(made.path))}, for example:")
    say(f"  SELECT * FROM {made.schema}.predictions_latest")
    say(f"{made.schema}.{ABOUT} has the snapshot of each table.")


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

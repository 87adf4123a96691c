"""The desk of a person's rights: to be forgotten."""

import sys
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import TABLES, command
from contrail.cli.options import SWITCH, TEXT, JsonOption, PipelineOption, lake_of
from contrail.cli.printing import done, print_json, progress, say
from contrail.cli.stages import show_analysts
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import current_person
from contrail.errors import SpecError
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from contrail.operations.forget import Forgetting

app = typer.Typer()


@command(app, "forget", TABLES)
def forget(
    pipeline: PipelineOption,
    reason: Annotated[str, typer.Option(metavar=TEXT, help="Why, for the record.", show_default=False)],
    where: Annotated[
        str | None,
        typer.Option(
            metavar="<condition>",
            help="Columns of a landed table and their values. Default: what was forgotten before, and came again.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=SWITCH, help="Show what would go, and change nothing.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", metavar=SWITCH, help="Do not ask. A script needs it: nothing brings rows back."),
    ] = False,
    grace_minutes: Annotated[
        float,
        typer.Option(metavar="<minutes>", min=0, max=1_440, help="A run may still use what is younger than this."),
    ] = 10,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's rows wherever they live, for good, and keep them from coming back.

    They leave landed and refused files, every table with each of its snapshots, training sets, data versions, staging,
    reports and messages. The record says how many rows went, not whose. Later runs leave such rows out.

    `--where` compares columns with values, as `customer = '4711'`. Rows of other tables go by the keys of those rows.
    """
    from contrail.operations.forget import Forget

    loaded = load_pipeline(pipeline)
    work = Forget(loaded, lake_of(loaded), where, timedelta(minutes=grace_minutes))
    with progress(f"forget {pipeline}") as show:
        show("looking through every place")
        plan = work.plan(current_person(), reason)
    if not as_json:
        _print_plan(plan)
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise SpecError(
                "forget removes rows for good, so a script must say --yes, or --dry-run. Nothing was changed"
            )
        dry_run = not typer.confirm("Remove all of this for good? Nothing can bring it back", err=True)
    if not dry_run:
        with progress(f"forget {pipeline}") as show:
            plan = work.run(current_person(), reason, show)
            if days := plan.published:
                show_analysts(pipeline, Partitions(days[0], days[-1]), show)
    if as_json:
        print_json({**plan.as_dict(), "dry_run": dry_run})
    elif dry_run:
        printing.out.print("Nothing was changed.")
    else:
        done(
            f"nothing of the person is left in {escape(pipeline)}. The record is request {plan.request}: "
            f'contrail query -p {escape(pipeline)} "SELECT * FROM forgotten"'
        )


def _print_plan(plan: "Forgetting") -> None:
    table = Table(
        "place", "partitions", "found", title=f"{plan.pipeline}: what a person's rows are in", header_style="bold"
    )
    for (place, kind), own in groupby(plan.counts, lambda one: (one.place, one.kind)):
        counts = list(own)
        parts = [one.partition for one in counts if one.partition]
        shown = f"{parts[0]} … {parts[-1]} ({len(parts)})" if len(parts) > 1 else "".join(parts)
        table.add_row(escape(place), escape(shown), f"{sum(one.found for one in counts):,} {kind}")
    printing.err.print(table)
    if plan.models:
        say(
            f"Models trained on {', '.join(plan.models)} have learned from these rows, and cannot be made again from what is "
            f"left. Train another: contrail train -p {escape(plan.pipeline)}",
            printing.err,
        )

"""The desk of the project itself: its pipelines, whether they are right, and what their remote jobs cost."""

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import HOUSEKEEPING, command
from contrail.cli.options import NAME, SWITCH, JsonOption, PipelineOption, not_with
from contrail.cli.printing import cell, done, indented, print_json, say
from contrail.config.pipeline import load_pipeline, pipeline_names
from contrail.config.settings import settings
from contrail.errors import SpecError

if TYPE_CHECKING:
    from contrail.config.prices import PriceTable
    from contrail.dispatch.receipts import Month
    from contrail.operations.check import Checked

app = typer.Typer()


@command(app, "pipelines", HOUSEKEEPING)
def pipelines() -> None:
    """List the pipelines of this project. A broken one is marked, with the reason, and stops no other.

    The exit code is 0 all the same, so that a script can go on with the others. `contrail check` fails for a broken one.
    """
    table = Table("name", "task", "title", "owner", "first partition", header_style="bold")
    broken: dict[str, str] = {}
    for name in pipeline_names():
        try:
            spec = load_pipeline(name).spec
        except SpecError as error:
            broken[name] = str(error)
            table.add_row(escape(name), "[red]broken[/]", "[dim]see below[/]", "", "")
        else:
            shown = (name, spec.task, spec.title, spec.owner, str(spec.first_partition))
            table.add_row(*map(escape, shown))
    printing.out.print(table)
    for name, reason in broken.items():
        say(f"[red]✗[/] {escape(name)}: {escape(reason)}", printing.err)


@command(app, "check", HOUSEKEEPING)
def check(
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline", "-p", metavar=NAME, help="Folder name under include/pipelines. Default: all of them."
        ),
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", metavar=SWITCH, help="Also evaluate contracts, and show XGBoost the parameters: some seconds."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check pipelines without their data, and say everything that is wrong at once.

    It reads the spec, binds its expressions, imports the modules, and builds the features of empty tables. Every other
    command checks the spec too. Where the environment has a budget, each remote stage needs a price. The exit code is 2
    when anything is wrong.
    """
    from contrail.operations.check import check_pipeline

    found = [check_pipeline(name, thorough=thorough) for name in ([pipeline] if pipeline else pipeline_names())]
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            _print_checked(one)
    if any(one.problems for one in found):
        raise typer.Exit(SpecError.exit_code)


def _print_checked(checked: "Checked") -> None:
    for note in checked.notes:
        say(f"[yellow]![/] {escape(note)}", printing.err)
    if not checked.problems:
        done(f"{escape(checked.pipeline)}: nothing is wrong")
        return
    count = len(checked.problems)
    say(
        f"[red]✗[/] {escape(checked.pipeline)}: {count} {'thing is' if count == 1 else 'things are'} wrong",
        printing.err,
    )
    indented(checked.problems, printing.err)


@command(app, "cost", HOUSEKEEPING)
def cost(
    pipeline: PipelineOption,
    month: Annotated[
        str | None, typer.Option(metavar="<month>", help="YYYY-MM, of the jobs' submission (UTC). Default: this one.")
    ] = None,
    assume: Annotated[
        list[str],
        typer.Option(
            metavar="<guess>",
            help="A guess for a month, instead of receipts: STAGE=JOBSxMINUTES. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    idle: Annotated[
        bool,
        typer.Option("--idle", metavar=SWITCH, help="What the environment costs in a month without any job."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a pipeline's remote jobs cost in a month: each one's estimate beside its cost, and what is left.

    A job that runs, or whose end Airflow has not seen, counts as estimated. The environment has the prices
    (`dispatch.prices`) and the budget (`dispatch.monthly_budget`). With `--assume` or `--idle` it counts no receipts:
    it adds up the guesses, and what the environment costs all month.
    """
    from contrail.dispatch import budget
    from contrail.dispatch.receipts import Receipts, month_of, utc_now
    from contrail.methods.cost import Assumption

    for option, chosen in {"--assume": assume, "--idle": idle}.items():
        if chosen:
            not_with(option, {"--month": month}, "it counts no receipts, so no month's")
    receipts = Receipts.of(settings().main, load_pipeline(pipeline).name)  # no job runs in a sandbox
    if receipts is None:
        raise SpecError(
            f"the environment {settings().name} has no price table; name one in its file, under dispatch.prices"
        )
    if assume or idle:
        lines = budget.assumed(receipts, [Assumption.parse(text) for text in assume])
        _print_assumed(pipeline, receipts.prices, lines, as_json)
        if not receipts.prices.standing(settings().name):
            unknown = f"the environment {escape(settings().name)}; what it costs all month is not counted"
            say(f"{escape(receipts.prices.file)} has no line of always_on for {unknown}.", printing.err)
        return
    try:
        wanted = month_of(date.fromisoformat(f"{month}-01")) if month else month_of(utc_now())
    except ValueError as error:
        raise SpecError(f"--month {month}: write it as YYYY-MM, for example 2026-11") from error
    found = receipts.month(wanted)
    if as_json:
        print_json(found.report(pipeline).as_dict())
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
        table.add_row(f"{one.submitted_at:%Y-%m-%d %H:%M}", *map(cell, what), minutes, *amounts, cell(about))
    printing.out.print(table)
    budget, left = ("" if amount is None else money(amount, month.currency) for amount in (month.budget, month.left))
    room = f"; budget {budget}, {left} left" if budget else "; no budget is set"
    say(f"{month}{room}")


def _print_assumed(pipeline: str, prices: "PriceTable", lines: list[tuple[str, float]], as_json: bool) -> None:
    from contrail.methods.cost import money

    total = sum(amount for _, amount in lines)
    if as_json:
        parts = {"read_on": prices.read_on, "region": prices.region, "currency": prices.currency}
        print_json({"pipeline": pipeline, "prices": parts, "lines": dict(lines), "total": total})
        return
    table = Table("of a month", title=f"{pipeline}: assumed, not measured")
    table.add_column("cost", justify="right")
    for what, amount in [*lines, ("all of it", total)]:
        table.add_row(cell(what), money(amount, prices.currency))
    printing.out.print(table)
    say(f"List prices of {escape(prices.region)} on {prices.read_on} ({escape(prices.file)}).")

"""The desk of models: who is champion, taking one back, and whether to train again."""

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.help import MODELS, command
from contrail.cli.options import (
    DATE,
    SCRIPTS,
    SWITCH,
    TEXT,
    JsonOption,
    PipelineOption,
    RunOption,
    end_changes,
    lake_of,
)
from contrail.cli.printing import done, indented, print_json, progress, say
from contrail.cli.stage_command import Call, stage_command
from contrail.cli.stages import show_analysts
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import current_person
from contrail.errors import SpecError
from contrail.methods.governor import BY_HAND, MONITOR
from contrail.partitions import Partitions

if TYPE_CHECKING:
    from contrail.operations.rollback_model import RollbackPlan
    from contrail.stages.results import RollbackModelResult

app = typer.Typer()
_VERSION = "<version>"
AnswerableOption = Annotated[
    str | None,
    typer.Option(
        "--person",
        metavar=TEXT,
        show_default="you",
        rich_help_panel=SCRIPTS,
        help="For an orchestrator: who answers for it. With this option, the command notifies nobody.",
    ),
]


@command(app, "champions", MODELS)
def champions(
    pipeline: PipelineOption,
    on: Annotated[
        str | None, typer.Option("--on", metavar=DATE, help="A day, YYYY-MM-DD. Default: every move.")
    ] = None,
    clock: Annotated[
        bool, typer.Option("--clock", metavar=SWITCH, help="--on is a day of the calendar (UTC), not a partition.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which version was champion on a day, since when, why, and who made it so.

    After a rollback, the champion of a partition is the version that took over. With `--clock`, it is the version that
    the alias named at the end of that day.
    """
    from contrail.operations.champions import champion_moves, champion_of, moved_elsewhere

    if clock and on is None:
        raise SpecError("--clock needs --on: it says how the day that you ask for is meant")
    loaded = load_pipeline(pipeline)
    end_changes("champions", loaded)
    moves = champion_moves(lake_of(loaded))
    found = [champion_of(pipeline, moves, on, clock)] if on is not None else moves
    if note := moved_elsewhere(pipeline, moves):
        say(f"[yellow]![/] {escape(note)}", printing.err)
    if as_json:
        rows = [asdict(move) for move in found]
        print_json(rows if on is None else rows[0])
        return
    table = Table("version", "for partitions from", "moved at (UTC)", "before", "person", "reason", "run")
    for move in found:
        moved_at, before = f"{move.moved_at:%Y-%m-%d %H:%M:%S}", move.version_before or "–"
        since = str(move.effective_from)
        table.add_row(
            move.version_after, since, moved_at, before, *map(escape, (move.person, move.reason, move.run_id))
        )
    printing.out.print(table)


@command(app, "model-card", MODELS)
def model_card(
    pipeline: PipelineOption,
    version: Annotated[
        str,
        typer.Argument(metavar="[VERSION]", help="A version number, champion, challenger or latest."),
    ] = "champion",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="<file>", help="Write the page, with its pictures, to this file.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", metavar=SWITCH, help="Print Markdown as it is, also on a terminal.")
    ] = False,
) -> None:
    """Show the model card of a version: purpose, limits, data, quality, explanations, fairness, decision and cost.

    It is made from what was recorded, as of now. MLflow has the same card with the version's run, as of its training, its
    last decision or the last move of an alias.
    """
    from contrail.reports.model_card import model_card_text, render_model_card
    from contrail.stages.model_cards import card_records

    loaded = load_pipeline(pipeline)
    printing.check_asked(html, "--html")
    records = card_records(lake_of(loaded), loaded, version)
    if html is not None:
        printing.write_asked(html, render_model_card(records), "--html")
    if markdown or (html is None and not printing.out.is_terminal):
        typer.echo(model_card_text(records), nl=False)
    elif html is None:
        printing.out.print(Markdown(model_card_text(records)))


@command(app, "rollback-model", MODELS)
def rollback_model(
    pipeline: PipelineOption,
    reason: Annotated[str, typer.Option(metavar=TEXT, help="Why, for the record.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(metavar=_VERSION, help="Version that becomes champion again.", show_default="the champion before"),
    ] = None,
    take_back: Annotated[
        str | None, typer.Option(metavar=_VERSION, help="Version to take back. If it would be another, stop.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar=SWITCH, help="Show the plan and change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", metavar=SWITCH, help="Do not ask. Off a terminal it never asks.")
    ] = False,
    person: AnswerableOption = None,
    run_id: RunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back the champion: re-point the alias and rescore every partition that the bad version scored.

    It prints the plan first, and on a terminal it asks. If it stops half-way, the next command finishes it.
    """
    from contrail.operations.rollback_model import plan_rollback

    loaded = load_pipeline(pipeline)
    plan = plan_rollback(loaded, lake_of(loaded), to, take_back)
    _show(plan)
    question = f"Make version {plan.to} champion instead of {plan.bad}, and score these partitions again?"
    if not dry_run and not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        dry_run = True
    result = plan.result() if dry_run else _carry_out(plan, reason, person, run_id)
    if as_json:
        print_json(result.as_dict())
    elif dry_run:
        printing.out.print("Nothing was changed.")
    else:
        done(
            f"version {plan.to} is champion; {result.rescored_rows or 0:,} rows rescored. Performance of these days still "
            f"measures the old predictions. The DAG monitor measures the last {loaded.spec.measured_again_days} of them "
            "again with its next day. Use contrail performance for the others."
        )


def _show(plan: "RollbackPlan") -> None:
    title = f"{plan.pipeline}: plan of a rollback"
    table = Table("partitions", "days", "rows", "scored by", "will be scored by", title=title)
    for days, rows in plan.jobs:
        table.add_row(str(days), str(len(days)), f"{rows:,}", f"version {plan.bad}", f"version {plan.to}")
    printing.err.print(table)
    printing.err.print(f"Champion for partitions from {plan.effective_from}: version {plan.to} instead of {plan.bad}.")


def _carry_out(plan: "RollbackPlan", reason: str, person: str | None, run_id: str | None) -> "RollbackModelResult":
    """Roll back, show analysts the days, and tell people. An orchestrator, which names the person, tells them itself."""
    from contrail.notify.delivery import deliver, telling_of_failure
    from contrail.notify.messages import of_result
    from contrail.operations.rollback_model import roll_back

    name, by = plan.pipeline, person or current_person()
    where = f"{name} rollback-model by {by}"
    with progress(f"rollback-model {name}") as show, nullcontext() if person else telling_of_failure(where):
        result = roll_back(plan, person=by, reason=reason, run_id=run_id, progress=show)
        if plan.scored:
            show_analysts(name, Partitions(min(plan.scored), max(plan.scored)), show)
    if not person and (message := of_result(where, name, result)):
        deliver(message)
    return result


@stage_command(
    app,
    "govern",
    MODELS,
    """Decide whether to retrain, from drift, performance and past trainings, and record it in `governor`.

    With `--reason` the request is yours. The cool-down, the labels and the budget can still refuse it.

    The command trains nothing, and its answer does not count as a training. The DAG train makes the same decision before
    it trains. The DAG monitor starts that DAG when it decides to retrain.
    """,
    days="day",
)
def govern(call: Call) -> None:
    """Decide for a day. A request by hand is in the caller's name."""
    asked = call.options.get("asked") or (BY_HAND if call.options.get("reason") else MONITOR)
    if asked == BY_HAND and not call.options.get("person"):
        call = call.with_options(person=current_person())
    result = call.with_options(asked=asked).run()
    if call.as_json:
        return
    found = result.details
    trigger = f" (trigger: {found.trigger})" if found.trigger else ""
    say(f"[bold]{found.decision}[/] for {result.partitions}{trigger}")
    indented(found.reasons)

"""The desk of experiments: which sandboxes there are, what they changed, and what of them is applied or dropped."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from contrail.cli import printing
from contrail.cli.backfills import backfills_of, print_plan, run_plan
from contrail.cli.help import MODELS, command
from contrail.cli.options import NAME, SWITCH, JsonOption, end_changes
from contrail.cli.printing import done, indented, print_json, progress, say
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import Settings, settings
from contrail.errors import SpecError

if TYPE_CHECKING:
    from contrail.operations.sandboxes import Inside, SandboxWork

app = typer.Typer()


class Action(StrEnum):
    """What is done with sandboxes."""

    list = "list"
    compare = "compare"
    apply = "apply"
    drop = "drop"


_OF_APPLY = frozenset({NAME, "--pipeline", "--model", "--yes"})
_TAKES = {
    Action.list: frozenset[str](),
    Action.compare: frozenset({NAME, "--pipeline"}),
    Action.apply: _OF_APPLY,
    Action.drop: frozenset({NAME}),
}


@command(app, "sandbox", MODELS)
def sandbox(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    name: Annotated[str | None, typer.Argument(metavar=NAME, help="The sandbox, for all but list.")] = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", "-p", metavar=NAME, help="For compare and apply. Default: the sandbox's only one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar=NAME, help="For apply: the model that scores in the main lake.", show_default="champion"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar=SWITCH, help="For apply: do what the plan says.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List sandboxes, compare one with what it began with, apply what was tried in it, or drop it.

    Stages make a sandbox: give them `--sandbox NAME`. `compare` says what became different, and whether it is better.
    `apply` plans what the main lake would recompute with the committed code, and does so with `--yes`. It copies no rows.
    `drop` removes all that is the sandbox's own.
    """
    main = settings().outside("contrail sandbox works")
    _check_options(action, {NAME: name, "--pipeline": pipeline, "--model": model, "--yes": yes or None})
    if action == Action.list:
        _list(main, as_json)
        return
    if name is None:
        raise SpecError(f"contrail sandbox {action}: name the sandbox; contrail sandbox list shows all")
    if action == Action.drop:
        _drop(main, name, as_json)
        return
    inside = _inside(main, name, pipeline)
    if action == Action.compare:
        _compare(inside, as_json)
    else:
        _apply(inside, model or "champion", yes, as_json)


def _check_options(action: Action, given: Mapping[str, object]) -> None:
    """Refuse what an action does not take, so that nobody believes it was heard.

    Raises:
        SpecError: naming the options and the action.
    """
    if refused := [option for option, value in given.items() if value is not None and option not in _TAKES[action]]:
        taken = " and ".join(sorted(_TAKES[action])) or "only --json"
        raise SpecError(
            f"contrail sandbox {action} does not take {' or '.join(refused)}; it takes {taken}. Nothing was changed"
        )


def _drop(main: Settings, name: str, as_json: bool) -> None:
    from contrail.operations.sandboxes import drop

    with progress(f"sandbox drop {name}") as show:
        pipelines = drop(main, name, show)
    if as_json:
        print_json({"name": name, "pipelines": pipelines})
    else:
        done(f"sandbox {escape(name)} is gone; the main lake is as it was")


def _inside(main: Settings, name: str, pipeline: str | None) -> "Inside":
    from contrail.lake.sandbox_records import absent, every
    from contrail.operations.sandboxes import Inside

    own = [one.pipeline for one in every(main) if one.name == name]
    if pipeline is None and not own:
        raise absent(main.inside(name), name)  # inside: refuses what can be no name
    if pipeline is None and len(own) > 1:
        raise SpecError(f"sandbox {name}: it has {len(own)} pipelines ({', '.join(own)}); choose one with --pipeline")
    return Inside.of(main, load_pipeline(pipeline or own[0]), name)


def _list(main: Settings, as_json: bool) -> None:
    from contrail.operations.sandboxes import listed

    found = listed(main)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    columns = ("sandbox", "pipeline", "made (UTC)", "by", "tables changed", "models", "own files")
    table = Table(*columns, header_style="bold", title="sandboxes")
    for one in found:
        state = "[yellow]unfinished: drop it[/]" if one.unfinished else escape(one.pipeline)
        state += f" [red]damaged: {escape(', '.join(one.damaged))}[/]" if one.damaged else ""
        shown = (one.made_at[:16].replace("T", " "), one.made_by, ", ".join(one.changed), ", ".join(one.versions))
        table.add_row(
            escape(one.name), state, *map(escape, shown), "" if one.unfinished else f"{one.bytes / 1e6:,.1f} MB"
        )
    printing.out.print(table if found else "There are no sandboxes. A stage makes one: give it --sandbox NAME.")
    for one in found:
        if pinned := one.pinned.get("features"):
            say(
                f"{one.name}: features begin at snapshot {pinned} of the main lake, code {one.revision[:20]}",
                printing.err,
            )


def _compare(inside: "Inside", as_json: bool) -> None:
    from contrail.reports.difference import summary

    record, work = inside.record, inside.work()
    with progress(f"sandbox compare {record.name}") as show:
        show("comparing with the snapshots that it began with")
        found = inside.compare()
    if as_json:
        print_json({**work.model_dump(mode="json"), **found.model_dump(mode="json")})
        return
    _tell(work)
    indented(summary(found))


def _tell(work: "SandboxWork") -> None:
    days = f"{len(work.days)} days of {work.range}" if work.range else "no day of features or predictions"
    say(f"recomputed here: {', '.join(work.stages) or 'nothing'}; {days}")
    for line in work.different:
        say(f"different: {escape(line)}")
    for version, training in work.versions.items():
        say(f"model {version} was trained here. The main lake gets its like by:")
        indented([training])


def _apply(inside: "Inside", model: str, yes: bool, as_json: bool) -> None:
    from contrail.operations.backfill_result import BackfillResult
    from contrail.operations.sandboxes import check_committed

    main = backfills_of(inside.pipeline.name)
    if yes:
        check_committed(main.settings, main.pipeline)
        end_changes("backfill", main.pipeline)
    plan, console = inside.plan(main, model), printing.err if as_json else printing.out
    if not as_json:
        _tell(inside.work())
    if plan is None:
        say("The main lake would recompute nothing.", console)
        if as_json:
            print_json({"plan": None})
        return
    print_plan(plan, console)
    if not yes:
        say("Nothing was changed. To do it: the same command with --yes, once the code is committed", console)
        result = BackfillResult(plan=plan.summary())
    else:
        result = run_plan(main, plan, console)
    if as_json:
        print_json(result.as_dict())

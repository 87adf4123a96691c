"""The desk of who sets an environment up: whether it can run, before anything runs."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from contrail.cli.help import HOUSEKEEPING, command
from contrail.cli.options import JsonOption
from contrail.cli.printing import print_json, say
from contrail.operations.doctor.findings import MOST_SECONDS

if TYPE_CHECKING:
    from contrail.operations.doctor.findings import Finding

app = typer.Typer()
_SECONDS = 60
_SHOWN = {"ok": "[green]ok[/]", "failed": "[red]failed[/]", "not checked": "[yellow]not checked[/]"}


@command(app, "doctor", HOUSEKEEPING)
def doctor(
    seconds: Annotated[
        int,
        typer.Option(
            metavar="<seconds>", min=1, max=MOST_SECONDS, help="How long any check may take. They run side by side."
        ),
    ] = _SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Check the environment before the first run, and say what to run for each failure. It changes nothing.

    It looks at the environment's files, this machine, the stores and, for an environment on Google Cloud, the project:
    services, permissions of this account, quotas, images and networks. A check that this account or this place cannot make
    is not checked, with the reason.

    The exit code is 0 when nothing failed, 75 when every failure may pass by itself, and else 2.
    """
    from contrail.operations.doctor.doctor import doctor as examined
    from contrail.operations.doctor.findings import exit_code

    findings = examined(seconds)
    if as_json:
        print_json([one.as_dict() for one in findings])
    else:
        _print(findings)
    if code := exit_code(findings):
        raise typer.Exit(code)


def _print(findings: "list[Finding]") -> None:
    states, longest = [one.state for one in findings], max(len(one.check) for one in findings)
    for one in findings:
        said = "; ".join(line.strip() for line in one.said.splitlines() if line.strip())
        padding = " " * (len("not checked") - len(one.state))
        say(f"{_SHOWN[one.state]}{padding}  {escape(one.check):{longest}}  {escape(said)}")
        for line in one.commands:
            say(f"{'':{len('not checked')}}  [cyan]{escape(line)}[/]")
    say(", ".join(f"{states.count(state)} {state}" for state in ("ok", "failed", "not checked")))

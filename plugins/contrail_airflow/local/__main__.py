"""``python -m contrail_airflow.local up|down|status|airflow``: the embedded Airflow for a person."""

import argparse
import subprocess
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail_airflow.local.api import AirflowApiError
from contrail_airflow.local.embedded import Embedded, EmbeddedError
from contrail_airflow.local.processes import interruptible
from contrail_airflow.roles import ROLES

err = Console(stderr=True)


def up(embedded: Embedded) -> None:
    """Start Airflow and MLflow for a person, and print how to log in."""
    with err.status("Starting Airflow and MLflow (about half a minute)…"):
        embedded.start(keep=True)
        embedded.start_mlflow()
    _print_state(embedded)


def _print_state(embedded: Embedded) -> None:
    state = embedded.state()
    console = Console()
    if not state.processes:
        console.print("Nothing is running. Start it with `make up`.")
        return
    if not state.running:
        dead = ", ".join(state.dead) or "it"
        said = (
            f"Airflow is not complete: {dead} is not alive or not ready. "
            "`make up` starts it again; `make down` cleans up."
        )
        console.print(said, soft_wrap=True)
        return
    console.print(f"Airflow  [cyan]{state.airflow_url}[/]   log in as", soft_wrap=True)
    passwords = embedded.passwords()
    users = Table.grid(padding=(0, 3))
    for role in ROLES:
        users.add_row("", f"[bold]{role.name}[/]", f"[bold]{escape(passwords[role.name])}[/]", f"[dim]{role.may}[/]")
    console.print(users)
    if state.mlflow_running:
        # Without this choice MLflow opens with the pages of language models.
        page = f"{state.mlflow_url}/#/experiments?workflowType=machine_learning"
        console.print(f"MLflow   [cyan]{page}[/]   no login; this machine only", soft_wrap=True)
    console.print(
        "Stop with `make down`. DAGs start paused: unpause the ones that you want to run on schedule.", soft_wrap=True
    )


def down(embedded: Embedded) -> None:
    """Stop what was started, and print the names."""
    stopped = embedded.stop()
    Console().print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status", "airflow"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="airflow: its own command line")
    given = parser.parse_args()
    action, embedded = given.action, Embedded(settings())
    if action == "airflow":
        command = [sys.executable, "-m", "airflow", *given.arguments]
        environment = embedded.environment() | {"PYTHONWARNINGS": "ignore"}  # Airflow's, about its libraries
        raise SystemExit(subprocess.run(command, env=environment, check=False).returncode)
    try:
        with interruptible():
            {"up": up, "down": down, "status": _print_state}[action](embedded)
    except (EmbeddedError, AirflowApiError, ContrailError) as error:
        err.print("[red]✗[/]", escape(str(error)), soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        err.print("Stopped.")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()

"""The record of what the embedded Airflow has started, in a file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from contrail_airflow.local.private import write_private
from contrail_airflow.local.processes import Process, this_process

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass
class State:
    """What was started. It is in a file, so ``down`` stops exactly that, even after a crash.

    ``token`` is in the environment of everything that was started. ``ready``: Airflow was healthy once. Airflow stops
    when none of its ``users`` (main jobs) is left, unless it is ``kept`` because a person started it with ``up``.
    """

    airflow_url: str = ""
    mlflow_url: str = ""
    token: str = ""
    ready: bool = False
    kept: bool = False
    processes: list[Process] = field(default_factory=list)
    users: list[Process] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether Airflow has started and every component is alive."""
        return self.ready and not self.dead

    @property
    def dead(self) -> list[str]:
        """Components of Airflow that are not alive."""
        alive = {process.name for process in self.processes if process.alive()}
        return [name for name in COMPONENTS if name not in alive]

    @property
    def shared(self) -> bool:
        """Whether somebody other than the calling process may have work in it."""
        others = [user for user in self.users if user.alive() and user != this_process("user")]
        return self.kept or bool(others)

    @property
    def mlflow_running(self) -> bool:
        """Whether MLflow's page is alive."""
        return any(process.name == "mlflow" and process.alive() for process in self.processes)

    @classmethod
    def read(cls, path: Path) -> "State":
        """The state in the file; an empty one when there is no file."""
        if not path.exists():
            return cls()
        values = json.loads(path.read_text())
        lists = {name: [Process(**process) for process in values[name]] for name in ("processes", "users")}
        return cls(**{**values, **lists})

    def write(self, path: Path) -> None:
        """Write it to the file."""
        write_private(path, json.dumps(asdict(self)))

"""A real Airflow on this machine: scheduler, DAG processor, triggerer and API server, started and stopped as one.

This is not `airflow standalone`, which leaves its children behind unless Ctrl-C stops it. ``__main__`` has the commands
for a person, and ``main_job`` has the main job.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from contrail.config.settings import Settings
from contrail_airflow.local.api import AirflowApi
from contrail_airflow.local.environment import airflow_environment
from contrail_airflow.local.health import answers, healthy
from contrail_airflow.local.private import passwords_of
from contrail_airflow.local.processes import (
    TOKEN,
    Process,
    end,
    end_marked,
    exclusive,
    start_time,
    this_process,
    wait_until,
)
from contrail_airflow.local.settings_file import apply_settings
from contrail_airflow.local.state import COMPONENTS, State
from contrail_airflow.operators import fork_server
from contrail_airflow.roles import ADMIN

# With the API server and the files on this machine, Airflow's log servers would only be open ports to the network.
_OPTIONS = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}
_HEALTHY_SECONDS = 180
_STOP_SECONDS = 20
# A start holds this lock from the choice of a port until its server uses it. Without the lock, two starts at once would
# choose the same port, and the slower one would take the other's answers for its own.
_PORTS = Path(tempfile.gettempdir()) / f"contrail-ports-{os.getuid()}.lock"
# The order in which components end, and the seconds that each has. The API server ends after the scheduler: a task that
# ends reports to it, and so does not count as lost. The triggerer holds no work here, and takes 10 s to notice.
_STOP_ORDER = (
    (("scheduler", "dag-processor", "mlflow", "fork-server"), _STOP_SECONDS),
    (("triggerer",), 1),
    (("api-server",), 5),
)


class EmbeddedError(Exception):
    """The embedded Airflow could not be started."""


class Embedded:
    """The embedded Airflow of one home."""

    def __init__(self, current: Settings) -> None:
        self.settings = current
        self.home = current.home_path / "airflow"
        self.home.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # another's folder, or a file system that changes nothing: it is for them to close
            self.home.chmod(0o700)  # connections, logs and secrets are the owner's, whoever made the folder
        self._state_file = self.home / "running.json"
        self._lock = self.home / "lock"

    # ---- configuration ----

    def environment(self) -> dict[str, str]:
        """The environment of every Airflow process."""
        return airflow_environment(self.settings, self.home)

    def passwords(self) -> dict[str, str]:
        """The generated password of each user, by the names of ``ROLES``."""
        return passwords_of(self.home)

    # ---- starting and stopping ----

    def state(self) -> State:
        """What the state file says was started."""
        return State.read(self._state_file)

    def api(self, user: str = ADMIN.name) -> AirflowApi:
        """A client that is logged in as one of ``ROLES``."""
        return AirflowApi(self.state().airflow_url, user, self.passwords()[user], self.check)

    def start(self, *, keep: bool = False) -> None:
        """Use the Airflow that runs, or start every component and wait until all are healthy.

        Args:
            keep: Keep it until ``stop``. Otherwise it runs until each calling process has called ``leave`` or is gone.

        Raises:
            EmbeddedError: with the last lines of the log that says why. What was started is stopped again.
        """
        with exclusive(self._lock):
            state = self.state()
            if not state.running:
                self._stop()
                state = State(token=secrets.token_hex(16))
                try:
                    self._start(state)
                except BaseException:  # also Ctrl-C: nothing may be left behind
                    self._stop()
                    raise
            state.kept |= keep
            state.users = [user for user in state.users if user.alive()] + ([] if keep else [this_process("user")])
            state.write(self._state_file)

    def leave(self) -> None:
        """Stop Airflow unless somebody else needs it."""
        with exclusive(self._lock):
            state = self.state()
            if not state.shared:
                self._stop()
                return
            state.users = [user for user in state.users if user.alive() and user != this_process("user")]
            state.write(self._state_file)

    def _start(self, state: State) -> None:
        passwords = self.passwords()
        environment = self.environment()
        self._migrate(environment)
        with exclusive(_PORTS):
            port = _free_port(8080, "Airflow")
            state.airflow_url = f"http://127.0.0.1:{port}"
            environment |= {
                "AIRFLOW__API__BASE_URL": state.airflow_url,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{state.airflow_url}/execution/",
            }
            options = _OPTIONS | {"api-server": ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]}
            for name in COMPONENTS:
                self._spawn(state, name, [sys.executable, "-m", "airflow", name, *options.get(name, [])], environment)
            self._spawn(state, "fork-server", [sys.executable, "-m", fork_server.__name__, str(self.home)], environment)
            self._wait(state, COMPONENTS, lambda: healthy(state.airflow_url))
        api = AirflowApi(state.airflow_url, ADMIN.name, passwords[ADMIN.name])
        apply_settings(api, self.settings.project_path / "airflow_settings.yaml")
        state.ready = True

    def start_mlflow(self) -> None:
        """Start MLflow's own page beside Airflow, unless it runs.

        Raises:
            EmbeddedError: with the last lines of its log.
        """
        from contrail.adapters.mlflow_store import client

        with exclusive(self._lock):
            state = self.state()
            if state.mlflow_running:
                return
            client(self.settings)  # makes the database on first use
            state.processes = [process for process in state.processes if process.name != "mlflow"]
            port = _free_port(5000, "MLflow")
            state.mlflow_url = f"http://127.0.0.1:{port}"
            registry = self.settings.registry
            command = [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", registry.tracking_uri, "--artifacts-destination", registry.artifact_uri,
            ]  # fmt: skip
            environment = self.environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes
            self._spawn(state, "mlflow", command, environment)
            self._wait(state, ("mlflow",), lambda: answers(f"{state.mlflow_url}/health"))

    def stop(self) -> list[str]:
        """Stop what was started, with all its children, and return the names of what was still alive."""
        with exclusive(self._lock):
            return self._stop()

    def _stop(self) -> list[str]:
        state = self.state()
        alive = [process for process in state.processes if process.alive()]
        for names, seconds in _STOP_ORDER:
            end([process for process in alive if process.name in names], seconds)
        end_marked(state.token, _STOP_SECONDS)
        self._state_file.unlink(missing_ok=True)
        return [process.name for process in alive]

    def check(self) -> None:
        """Raise if a component has died, because a run would never end without it.

        Raises:
            EmbeddedError: naming the component, with the last lines of its log.
        """
        if dead := self.state().dead:
            raise EmbeddedError(
                f"Airflow's {dead[0]} is gone; its log is in {self.home / 'component-logs'}:\n{self.log_tail(dead[0])}"
            )

    def log_tail(self, name: str, lines: int = 20) -> str:
        """Last lines of a component's log."""
        path = self.home / "component-logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _migrate(self, environment: dict[str, str]) -> None:
        """Bring the database to this Airflow's version. It takes 7 s, so skip it when nothing can have changed."""
        done = self.home / "database.version"
        if done.exists() and done.read_text() == version("apache-airflow") and (self.home / "airflow.db").exists():
            return
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode:
            raise EmbeddedError(f"airflow db migrate failed:\n{(result.stdout + result.stderr)[-3000:]}")
        done.write_text(version("apache-airflow"))

    def _spawn(self, state: State, name: str, command: list[str], environment: dict[str, str]) -> None:
        folder = self.home / "component-logs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                env=environment | {TOKEN: state.token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.home,
            )
        state.processes.append(Process(name, process.pid, start_time(process.pid) or 0.0))
        state.write(self._state_file)

    def _wait(self, state: State, names: tuple[str, ...], ready: Callable[[], bool]) -> None:
        """Wait until these processes are healthy.

        Raises:
            EmbeddedError: if one of them ends, or it takes too long.
        """
        waited = [process for process in state.processes if process.name in names]
        if not wait_until(lambda: not all(p.alive() for p in waited) or ready(), _HEALTHY_SECONDS):
            raise EmbeddedError(
                f"{', '.join(names)} not healthy after {_HEALTHY_SECONDS} s. "
                f"The logs are in {self.home / 'component-logs'}:\n{self.log_tail(names[-1])}"
            )
        if dead := [process.name for process in waited if not process.alive()]:
            raise EmbeddedError(f"{dead[0]} stopped while starting:\n{self.log_tail(dead[0])}")


def _free_port(wanted: int, name: str) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
            if found != wanted:
                Console(stderr=True).print(f"Port {wanted} is taken; {name} uses {found}.")
            return found
    raise EmbeddedError("no free port on the loopback address")


@contextmanager
def running(embedded: Embedded) -> Iterator[AirflowApi]:
    """Airflow for the length of a block: the one that runs, or a new one that stops when nobody needs it."""
    embedded.start()
    try:
        yield embedded.api()
    finally:
        embedded.leave()

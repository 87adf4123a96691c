"""A real Airflow on this machine: scheduler, DAG processor, triggerer and API server, started and stopped as one.

``python -m contrail_airflow.local.embedded up|down|status``. Not `airflow standalone`: it leaves its children behind when it
is stopped by anything but Ctrl-C. The main job that uses it is in ``main_job``.
"""

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contrail.config.settings import Settings, settings
from contrail.errors import ContrailError
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.local.processes import (
    TOKEN,
    Process,
    end,
    end_marked,
    exclusive,
    interruptible,
    start_time,
    this_process,
    wait_until,
)
from contrail_airflow.local.settings_file import apply_settings
from contrail_airflow.roles import ADMIN, ROLES

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
# With the API server and the files on this machine, Airflow's log servers would only be open ports to the network.
_OPTIONS = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}
_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
_HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_HEALTHY_SECONDS = 180
_STOP_SECONDS = 20
# Held from the choice of a port until it is taken: two that start at once would choose the same, and the slower would
# take the other's answers for its own.
_PORTS = Path(tempfile.gettempdir()) / f"contrail-ports-{os.getuid()}.lock"
# Who is asked to end when, and for how long. The API server after the scheduler: a task that is told to end reports to
# it, and is then not taken for a lost one. The triggerer holds no work here, and takes 10 s to notice.
_STOP_ORDER = (
    (("scheduler", "dag-processor", "mlflow"), _STOP_SECONDS),
    (("triggerer",), 1),
    (("api-server",), 5),
)
err = Console(stderr=True)


class EmbeddedError(Exception):
    """The embedded Airflow could not be started."""


@dataclass
class State:
    """What was started, kept in a file so that ``down`` stops exactly that, also after a crash.

    ``token`` is in the environment of everything that was started. ``ready``: it was healthy once. It is stopped when
    none of its ``users`` (main jobs) is left, unless it is ``kept``: a person asked for it with ``up``.
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
        """Whether somebody else than the process that asks may have work in it."""
        others = [user for user in self.users if user.alive() and user != this_process("user")]
        return self.kept or bool(others)

    @property
    def mlflow_running(self) -> bool:
        """Whether MLflow's page is alive."""
        return any(process.name == "mlflow" and process.alive() for process in self.processes)


class Embedded:
    """The embedded Airflow of one home."""

    def __init__(self, current: Settings) -> None:
        self.settings = current
        self.home = current.home_path / "airflow"
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)  # connections, logs and secrets are the owner's
        self._state_file = self.home / "running.json"
        self._lock = self.home / "lock"

    # ---- configuration ----

    def environment(self) -> dict[str, str]:
        """The environment of every Airflow process; secrets are generated once and readable by the owner only."""
        project, home = self.settings.project_path, self.home
        own = {
            "AIRFLOW_HOME": str(home),
            "CONTRAIL_HOME": str(self.settings.home_path),
            "CONTRAIL_PROJECT": str(project),
            "CONTRAIL_PIPELINES": str(self.settings.pipelines_path),
            "PYTHONPATH": os.pathsep.join([str(project / "include"), str(project / "plugins")]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.settings.dags_path),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__AUTH_MANAGER": _AUTH_MANAGER,
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{r.name}:{r.airflow}" for r in ROLES),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__CORE__FERNET_KEY": self._secret("fernet", _fernet_key),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret("jwt", lambda: secrets.token_hex(48)),
            "AIRFLOW__API__SECRET_KEY": self._secret("session", lambda: secrets.token_hex(32)),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # Airflow renames its processes over their environment, where `down` looks for the token.
            "SPT_NOENV": "1",
            # Two cores: the defaults poll for a cluster's load and cost a second a task (docs/adr/0004).
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        }
        return {**os.environ, **own}

    def _secret(self, name: str, make: Any) -> str:
        path = self.home / f"{name}.secret"
        if not path.exists():
            _write_private(path, make())
        return path.read_text()

    def passwords(self) -> dict[str, str]:
        """The generated password of each user, by the names of ``ROLES``."""
        path = self.home / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if missing := [role.name for role in ROLES if role.name not in known]:
            known |= {name: secrets.token_urlsafe(12) for name in missing}
            _write_private(path, json.dumps(known))
        return known

    # ---- starting and stopping ----

    def state(self) -> State:
        """What the state file says was started."""
        if not self._state_file.exists():
            return State()
        values = json.loads(self._state_file.read_text())
        lists = {name: [Process(**process) for process in values[name]] for name in ("processes", "users")}
        return State(**{**values, **lists})

    def _write(self, state: State) -> None:
        _write_private(self._state_file, json.dumps(asdict(state)))

    def api(self, user: str = ADMIN.name) -> AirflowApi:
        """A client that is logged in as one of ``ROLES``."""
        return AirflowApi(self.state().airflow_url, user, self.passwords()[user])

    def start(self, *, keep: bool = False) -> None:
        """Make sure that Airflow runs: use the one that does, or start every component and wait until it is healthy.

        Args:
            keep: Until ``stop``; otherwise until every process that called this has called ``leave`` or is gone.

        Raises:
            EmbeddedError: with the last lines of the log that says why; what was started is stopped again.
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
            self._write(state)

    def leave(self) -> None:
        """Stop Airflow unless somebody else needs it."""
        with exclusive(self._lock):
            state = self.state()
            if not state.shared:
                self._stop()
                return
            state.users = [user for user in state.users if user.alive() and user != this_process("user")]
            self._write(state)

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
            self._wait(state, COMPONENTS, lambda: _healthy(state.airflow_url))
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
            self._wait(state, ("mlflow",), lambda: _answers(f"{state.mlflow_url}/health"))

    def stop(self) -> list[str]:
        """Stop what was started and everything that it started; the names of what was still alive."""
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
        """Raise if a component has died: without it a run would never end.

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
        """Bring the database to this Airflow's version; it takes 7 s, so not again when nothing can have changed."""
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
        self._write(state)

    def _wait(self, state: State, names: tuple[str, ...], healthy: Callable[[], bool]) -> None:
        """Wait until these processes are healthy.

        Raises:
            EmbeddedError: if one of them ends, or it takes too long.
        """
        waited = [process for process in state.processes if process.name in names]
        if not wait_until(lambda: not all(p.alive() for p in waited) or healthy(), _HEALTHY_SECONDS):
            raise EmbeddedError(
                f"{', '.join(names)} not healthy after {_HEALTHY_SECONDS} s. "
                f"The logs are in {self.home / 'component-logs'}:\n{self.log_tail(names[-1])}"
            )
        if dead := [process.name for process in waited if not process.alive()]:
            raise EmbeddedError(f"{dead[0]} stopped while starting:\n{self.log_tail(dead[0])}")


def _healthy(url: str) -> bool:
    try:
        health = httpx.get(f"{url}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    return all((health.get(name) or {}).get("status") == "healthy" for name in _HEALTHY)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.rename(path)


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
                err.print(f"Port {wanted} is taken; {name} uses {found}.")
            return found
    raise EmbeddedError("no free port on the loopback address")


@contextmanager
def running(embedded: Embedded) -> Iterator[AirflowApi]:
    """Airflow for the length of a block: the one that is up, or one that is stopped again when nobody needs it."""
    embedded.start()
    try:
        yield embedded.api()
    finally:
        embedded.leave()


def up(embedded: Embedded) -> None:
    """Start for a person, and say where and how to log in."""
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
        said = f"Airflow is not complete: {dead} is not alive or not ready. `make up` starts it anew; `make down` cleans up."
        console.print(said, soft_wrap=True)
        return
    console.print(f"Airflow  [cyan]{state.airflow_url}[/]   log in as", soft_wrap=True)
    passwords = embedded.passwords()
    users = Table.grid(padding=(0, 3))
    for role in ROLES:
        users.add_row("", f"[bold]{role.name}[/]", f"[bold]{passwords[role.name]}[/]", f"[dim]{role.may}[/]")
    console.print(users)
    if state.mlflow_running:
        console.print(f"MLflow   [cyan]{state.mlflow_url}[/]   no login; this machine only", soft_wrap=True)
    console.print(
        "Stop with `make down`. DAGs start paused: unpause the ones that you want to run on schedule.", soft_wrap=True
    )


def down(embedded: Embedded) -> None:
    """Stop what was started, and say what."""
    stopped = embedded.stop()
    Console().print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local.embedded", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status", "airflow"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="airflow: its own command line")
    given = parser.parse_args()
    action, embedded = given.action, Embedded(settings())
    if action == "airflow":
        command = [sys.executable, "-m", "airflow", *given.arguments]
        environment = embedded.environment() | {"PYTHONWARNINGS": "ignore"}  # Airflow's own, about its libraries
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

"""A real Airflow on this machine: scheduler, DAG processor, triggerer and API server, started and stopped as one.

``python -m contrail_airflow.embedded up|down|status``. Not `airflow standalone`: it leaves its children behind when it
is stopped by anything but Ctrl-C. The main job that uses it is in ``main_job``.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console

from contrail.settings import Settings, settings
from contrail_airflow.api import AirflowApi, AirflowApiError

USER = "admin"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
_HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_HEALTHY_SECONDS = 180
_STOP_SECONDS = 20
err = Console(stderr=True)


class EmbeddedError(Exception):
    """The embedded Airflow could not be started."""


@dataclass(frozen=True)
class Process:
    """A started process group; ``started`` guards against a process id that was given to somebody else."""

    name: str
    pid: int
    started: float

    def alive(self) -> bool:
        """Whether it is still the process that was started."""
        return _start_time(self.pid) == self.started


@dataclass
class State:
    """What is running, kept in a file so that ``down`` stops exactly that, also after a crash."""

    airflow_url: str = ""
    mlflow_url: str = ""
    processes: list[Process] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether every process is alive."""
        return bool(self.processes) and all(process.alive() for process in self.processes)


def _start_time(pid: int) -> float | None:
    """Clock ticks since boot at which a process started; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else float(fields[19])


class Embedded:
    """The embedded Airflow of one home."""

    def __init__(self, current: Settings) -> None:
        self.settings = current
        self.home = current.home_path / "airflow"
        self._state_file = self.home / "running.json"

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
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__CORE__FERNET_KEY": self._secret("fernet", _fernet_key),
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret("jwt", lambda: secrets.token_hex(48)),
            "AIRFLOW__API__SECRET_KEY": self._secret("session", lambda: secrets.token_hex(32)),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
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
            self.home.mkdir(parents=True, exist_ok=True)
            _write_private(path, make())
        return path.read_text()

    def password(self) -> str:
        """The generated password of the user ``admin``."""
        path = self.home / "passwords.json"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            _write_private(path, json.dumps({USER: secrets.token_urlsafe(12)}))
        return str(json.loads(path.read_text())[USER])

    # ---- starting and stopping ----

    def state(self) -> State:
        """What the state file says is running."""
        if not self._state_file.exists():
            return State()
        values = json.loads(self._state_file.read_text())
        return State(values["airflow_url"], values["mlflow_url"], [Process(**p) for p in values["processes"]])

    def api(self) -> AirflowApi:
        """A client that is logged in as the administrator."""
        return AirflowApi(self.state().airflow_url, USER, self.password())

    def start(self) -> None:
        """Start every component, and wait until they are healthy.

        Raises:
            EmbeddedError: with the last lines of the log that says why; what was started is stopped again.
        """
        self.stop()
        password = self.password()
        environment = self.environment()
        self._migrate(environment)
        state = State(airflow_url=f"http://127.0.0.1:{_free_port(8080, 'Airflow')}")
        port = state.airflow_url.rpartition(":")[2]
        environment |= {
            "AIRFLOW__API__BASE_URL": state.airflow_url,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{state.airflow_url}/execution/",
        }
        for name in COMPONENTS:
            extra = ["--host", "127.0.0.1", "--port", port, "--workers", "1"] if name == "api-server" else []
            self._spawn(state, name, [sys.executable, "-m", "airflow", name, *extra], environment)
        try:
            self._wait_healthy(state)
            AirflowApi(state.airflow_url, USER, password).call("GET", "version")
            self._apply_settings()
        except (EmbeddedError, AirflowApiError):
            self.stop()
            raise

    def start_mlflow(self) -> None:
        """Start MLflow's own page beside Airflow."""
        from contrail.adapters.registry import client

        client(self.settings)  # makes the database on first use
        state = self.state()
        if state.mlflow_url:
            return
        port = _free_port(5000, "MLflow")
        state.mlflow_url = f"http://127.0.0.1:{port}"
        registry = self.settings.registry
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", registry.tracking_uri, "--artifacts-destination", registry.artifact_uri,
        ]  # fmt: skip
        self._spawn(state, "mlflow", command, self.environment())

    def stop(self) -> list[str]:
        """Stop what was started, each with its whole process group; the names of what was still alive."""
        state = self.state()
        alive = [process for process in state.processes if process.alive()]
        for process in alive:
            os.killpg(process.pid, signal.SIGTERM)
        end = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < end and any(process.alive() for process in alive):
            time.sleep(0.1)
        for process in alive:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # also what outlived its leader
            except ProcessLookupError:
                continue
        self._state_file.unlink(missing_ok=True)
        return [process.name for process in alive]

    def log_tail(self, name: str, lines: int = 20) -> str:
        """Last lines of a component's log."""
        path = self.home / "component-logs" / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _migrate(self, environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EmbeddedError(f"airflow db migrate failed:\n{(done.stdout + done.stderr)[-3000:]}")

    def _spawn(self, state: State, name: str, command: list[str], environment: dict[str, str]) -> None:
        folder = self.home / "component-logs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.home,
            )
        state.processes.append(Process(name, process.pid, _start_time(process.pid) or 0.0))
        _write_private(self._state_file, json.dumps(asdict(state)))

    def _wait_healthy(self, state: State) -> None:
        end = time.monotonic() + _HEALTHY_SECONDS
        while time.monotonic() < end:
            dead = [process.name for process in state.processes if not process.alive()]
            if dead:
                raise EmbeddedError(f"Airflow's {dead[0]} stopped while starting:\n{self.log_tail(dead[0])}")
            if _healthy(state.airflow_url):
                return
            time.sleep(0.3)
        raise EmbeddedError(
            f"Airflow was not healthy after {_HEALTHY_SECONDS} s. Its logs are in {self.home / 'component-logs'}:\n"
            f"{self.log_tail('scheduler')}"
        )

    def _apply_settings(self) -> None:
        """Make the pools, connections and variables of airflow_settings.yaml."""
        path = self.settings.project_path / "airflow_settings.yaml"
        wanted = yaml.safe_load(path.read_text())["airflow"]
        api = self.api()
        actions = []
        for kind, entries in (
            ("pools", [_pool(entry) for entry in wanted.get("pools") or []]),
            ("connections", [_connection(entry) for entry in wanted.get("connections") or []]),
            ("variables", [_variable(entry) for entry in wanted.get("variables") or []]),
        ):
            action = {"action": "create", "entities": entries, "action_on_existence": "overwrite"}
            actions += [(kind, action)] if entries else []
        for kind, action in actions:
            api.call("PATCH", kind, json={"actions": [action]})


def _pool(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["pool_name"],
        "slots": entry["pool_slot"],
        "description": entry.get("pool_description", ""),
        "include_deferred": False,
    }


def _connection(entry: dict[str, Any]) -> dict[str, Any]:
    names = {"conn_id": "connection_id", "conn_type": "conn_type", "conn_host": "host", "conn_schema": "schema"}
    names |= {"conn_login": "login", "conn_password": "password", "conn_port": "port"}
    found = {ours: entry[theirs] for theirs, ours in names.items() if entry.get(theirs)}
    if entry.get("conn_extra"):
        found["extra"] = json.dumps(entry["conn_extra"])
    return found


def _variable(entry: dict[str, Any]) -> dict[str, Any]:
    return {"key": entry["variable_name"], "value": entry["variable_value"]}


def _healthy(url: str) -> bool:
    try:
        health = httpx.get(f"{url}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    return all(
        health[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )


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
    """Airflow for the length of a block: the one that is up, or one that is stopped again at the end."""
    if embedded.state().running:
        yield embedded.api()
        return
    embedded.start()
    try:
        yield embedded.api()
    finally:
        embedded.stop()


def up(embedded: Embedded) -> None:
    """Start for a person, and say where and how to log in."""
    if not embedded.state().running:
        with err.status("Starting Airflow and MLflow (about half a minute)…"):
            embedded.start()
            embedded.start_mlflow()
    _print_state(embedded)


def _print_state(embedded: Embedded) -> None:
    state = embedded.state()
    console = Console()
    if not state.running:
        console.print("Nothing is running. Start it with `make up`.")
        return
    console.print(
        f"Airflow  [cyan]{state.airflow_url}[/]   user [bold]{USER}[/]   password [bold]{embedded.password()}[/]"
    )
    if state.mlflow_url:
        console.print(f"MLflow   [cyan]{state.mlflow_url}[/]   no login; this machine only")
    console.print("Stop both with `make down`. DAGs start paused: unpause the ones that you want to run on schedule.")


def down(embedded: Embedded) -> None:
    """Stop what was started, and say what."""
    stopped = embedded.stop()
    Console().print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.embedded", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "status"])
    action = parser.parse_args().action
    embedded = Embedded(settings())
    try:
        {"up": up, "down": down, "status": _print_state}[action](embedded)
    except (EmbeddedError, AirflowApiError) as error:
        err.print(f"[red]✗[/] {error}", soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

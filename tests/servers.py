"""The topology of docker-compose.yaml as processes of this machine: Postgres, Redis, Celery with two workers.

The servers are Debian's. The settings, roles and databases are those that Compose would give the containers. Only
addresses and waiting times differ.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import redis

from contrail.config.settings import Settings
from contrail.stages import VERBS
from contrail_airflow.local.compose_env import make_environment, new_passwords
from contrail_airflow.local.embedded import Embedded, State
from contrail_airflow.local.processes import wait_until
from contrail_airflow.operators.forked_process import FORK_SERVER
from tests.conftest import PROJECT
from tests.loopback.storage import free_port

MISSING = "no Postgres or Redis server (Debian: apt-get install postgresql redis-server)"
WORKERS = ("worker-1", "worker-2")
_MARK = "CONTRAIL_TEST_WORKER"
# A lost component costs a minute and a half with Compose's waiting times.
_QUICKER = {
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "2",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}


# ---- the servers ----


def programs() -> Path | None:
    """The folder of Postgres's programs, which Debian keeps out of PATH; None where Postgres or Redis is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found and shutil.which("redis-server") else None


@contextmanager
def served() -> Iterator["Servers"]:
    """Serve Postgres and Redis for the length of a block.

    Raises:
        FileNotFoundError: where one of them is missing.
    """
    if (found := programs()) is None:
        raise FileNotFoundError(MISSING)
    # Not pytest's own folder, which only its owner may enter: Postgres is another user.
    with tempfile.TemporaryDirectory(prefix="contrail-servers-", dir="/tmp") as folder:
        servers = Servers(Path(folder))
        with servers.running(found):
            yield servers


class Service(NamedTuple):
    """What starts a container, as a process of this machine."""

    command: list[str]
    environment: dict[str, str]


class Servers:
    """Postgres and Redis on ports of their own, with the passwords of a fresh .env."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = new_passwords()
        self.secrets = make_environment(self.passwords)
        self.postgres_port, self.redis_port = free_port(), free_port()

    def environment(self) -> dict[str, str]:
        """What leads a process of this machine to the databases, as Compose's environment names them."""
        return {
            "CONTRAIL_ENV": "compose",
            "CONTRAIL_DATABASE_HOST": f"127.0.0.1:{self.postgres_port}",
            "PGPASSWORD": self.secrets["CONTRAIL_DB_PASSWORD"],
        }

    def query(self, user: str, database: str, text: str) -> list[tuple[Any, ...]]:
        password = self.secrets[f"{user.upper()}_DB_PASSWORD" if user != "postgres" else "POSTGRES_PASSWORD"]
        place = {"host": "127.0.0.1", "port": self.postgres_port, "dbname": database}
        connection = psycopg2.connect(user=user, password=password, **place)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text)
                return list(cursor.fetchall())
        finally:
            connection.close()

    @contextmanager
    def running(self, programs: Path) -> Iterator[None]:
        """Both servers, with the databases that Postgres's container makes when it first starts."""
        # Postgres refuses to run as root; Debian's package has made a user for it.
        owner: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        )
        if owner:
            shutil.chown(self.folder, "postgres", "postgres")
        data, password = self.folder / "data", self.folder / "password"
        password.write_text(self.secrets["POSTGRES_PASSWORD"])
        if owner:
            shutil.chown(password, "postgres")
        init = ["--auth=scram-sha-256", f"--pwfile={password}", "--username=postgres", "--no-sync", f"--pgdata={data}"]
        subprocess.run([programs / "initdb", *init], check=True, capture_output=True, cwd=self.folder, **owner)
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        settings_of_server = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [programs / "postgres", "-D", data, "-p", str(self.postgres_port), *settings_of_server]
        with (
            _process(command, self.folder / "postgres.log", signal.SIGINT, cwd=self.folder, **owner),
            _process(["redis-server", "-"], self.folder / "redis.log", signal.SIGTERM, said=self._redis()),
        ):
            assert wait_until(self._answer, 30), (self.folder / "postgres.log").read_text()
            self._make_databases(programs)
            yield

    # ---- what Compose would start ----

    def service(self, name: str, airflow_url: str = "") -> Service:
        """The command and the environment of a service, with the addresses of this machine."""
        env_file = self.folder / ".env"
        env_file.write_text("".join(f"{name}='{value}'\n" for name, value in self.secrets.items()))
        config = [Path(sys.executable).parent / "docker-compose", "--env-file", env_file, "config", "--format", "json"]
        done = subprocess.run(config, cwd=PROJECT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.replace("$$", "$"))["services"][name]  # Compose doubles a dollar sign
        text = json.dumps([found["command"], found["environment"]])
        for there, here in {
            "@postgres/": f"@127.0.0.1:{self.postgres_port}/",
            '"postgres"': f'"127.0.0.1:{self.postgres_port}"',
            "@redis:6379/": f"@127.0.0.1:{self.redis_port}/",
            "http://api-server:8080": airflow_url,
        }.items():
            text = text.replace(there, here)
        command, environment = json.loads(text)
        # As the entry point of Airflow's image starts them.
        program = command[1:] if command[0] == "python" else ["-m", "airflow", *command]
        return Service([sys.executable, *program], environment)

    def run(self, name: str, environment: dict[str, str], airflow_url: str = "") -> str:
        """Run a service that ends by itself, and return what it says."""
        service = self.service(name, airflow_url)
        own = {**environment, **service.environment}
        done = subprocess.run(service.command, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _redis(self) -> str:
        return f"port {self.redis_port}\nbind 127.0.0.1\nrequirepass {self.secrets['REDIS_PASSWORD']}\nsave ''\n"

    def _answer(self) -> bool:
        with suppress(psycopg2.OperationalError, redis.ConnectionError):
            found = redis.Redis(port=self.redis_port, password=self.secrets["REDIS_PASSWORD"]).ping()
            return bool(found and self.query("postgres", "postgres", "SELECT 1"))
        return False

    def _make_databases(self, programs: Path) -> None:
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.postgres_port)}
        own = {"POSTGRES_USER": "postgres", "PGPASSWORD": self.secrets["POSTGRES_PASSWORD"], **self.secrets}
        path = {"PATH": os.pathsep.join([str(programs), os.environ["PATH"]])}
        subprocess.run(["sh", PROJECT / "docker" / "postgres-init.sh"], env=place | own | path, check=True)


@contextmanager
def _process(command: list[Any], log: Path, ending: int, said: str = "", **options: Any) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file, text=True, **options)
    assert process.stdin
    process.stdin.write(said)
    process.stdin.close()
    try:
        yield
    finally:
        process.send_signal(ending)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- Airflow ----


class SeveralWorkers(Embedded):
    """The embedded Airflow's components on these servers, and two workers that know only what a worker's container does."""

    def __init__(self, current: Settings, servers: Servers) -> None:
        super().__init__(current)
        self.servers = servers
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._marks: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            **self.servers.service("scheduler", self.state().airflow_url).environment,
            **_QUICKER,
        }

    def passwords(self) -> dict[str, str]:
        return self.servers.passwords

    def _migrate(self, environment: dict[str, str]) -> None:
        self.servers.run("airflow-init", environment)

    def _start(self, state: State) -> None:
        super()._start(state)
        embedded = Embedded.environment(self)
        foreign = {name for name in embedded if name.startswith("AIRFLOW__")} - {
            "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER", "AIRFLOW__CORE__LOAD_EXAMPLES"
        }  # fmt: skip
        # A worker stands for another machine, which the embedded Airflow's fork server does not reach.
        image = {name: value for name, value in embedded.items() if name not in foreign | {FORK_SERVER}}
        logs = {"AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs")}
        for name in WORKERS:
            own = {"AIRFLOW_HOME": str(self.home / name)}
            command = ["airflow", "celery", "worker", "--skip-serve-logs", "--celery-hostname", name]
            environment = image | self.servers.service("worker", state.airflow_url).environment | logs | _QUICKER | own
            self._spawn(state, name, [sys.executable, "-m", *command], environment)
        workers = [process for process in state.processes if process.name in WORKERS]
        ready = [lambda name=name: f"{name} ready." in self.log_tail(name, 1000) for name in WORKERS]
        assert wait_until(lambda: all(is_ready() for is_ready in ready), 90), self.log_tail(WORKERS[0], 50)
        assert all(process.alive() for process in workers)

    def _spawn(self, state: State, name: str, command: list[str], environment: dict[str, str]) -> None:
        self._commands[name] = (command, environment)
        self._marks[name] = f"{name}-{secrets.token_hex(4)}"
        super()._spawn(state, name, command, environment | {_MARK: self._marks[name]})

    # ---- losing a component ----

    def lose(self, name: str) -> None:
        """Kill a component with everything that it has started."""
        _kill_marked(self._marks[name])

    def replace(self, name: str) -> None:
        """Kill a component with everything that it has started; another one takes its place, as Compose restarts it."""
        lost = self._marks[name]
        self._spawn(self.state(), name, *self._commands[name])
        _kill_marked(lost)

    def stage_of_worker(self, days: set[str]) -> tuple[str, str] | None:
        """A worker that is at a stage of one of these days, and the stage's command."""
        for pid, command in _stages():
            mark = _environment(pid).get(_MARK)
            for name in WORKERS:
                if days & set(command) and mark == self._marks.get(name):
                    return name, " ".join(command[3:])
        return None


def _kill_marked(mark: str) -> None:
    wait_until(lambda: not [_kill(pid) for pid in _pids() if _environment(pid).get(_MARK) == mark], 10)


def _pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _stages() -> Iterator[tuple[int, list[str]]]:
    for pid in _pids():
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if command[1:3] == ["-m", "contrail"] and command[3] in VERBS:
                yield pid, command


def _environment(pid: int) -> dict[str, str]:
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

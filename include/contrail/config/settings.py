"""The environment that a run works in: catalog, storage, engine, registry.

The only module that reads environment variables. A setting that changes what a model or a table contains
does not belong here but in the pipeline's spec.
"""

import getpass
import os
import re
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import ByteSize, Field, PrivateAttr, ValidationError, model_validator
from upath import UPath

from contrail.config.energy import EnergySettings
from contrail.config.environment_file import EnvironmentFile
from contrail.config.memory import usable
from contrail.config.names import in_sandbox, sandbox_problem
from contrail.config.targets import LOCAL, DispatchSettings
from contrail.config.validation_errors import explain, hint
from contrail.errors import SpecError
from contrail.frozen import Frozen

# For libraries that read them when they are loaded: no calls home from a batch job, and threads that share the cores.
_LIBRARY_DEFAULTS = {
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    # OpenMP waits in a busy loop by default: a training beside other work took 83 s of CPU instead of 28 s.
    "OMP_WAIT_POLICY": "PASSIVE",
    "RUST_LOG": "error",  # the embedded engine logs every session
}
_SANDBOX = "CONTRAIL_SANDBOX"
PERSON_VARIABLE = "CONTRAIL_PERSON"  # who has started the work, as an orchestrator knows them
# Letters of any language are fine. Each of the others was misread by a library: # ? % by Iceberg's URIs, {} * [] by
# file patterns, quotes and $ by configuration files.
_NOT_IN_HOMES = re.compile(r"[^\w /.+=@~,-]|[\n\r\t\f\v]")


class CatalogSettings(Frozen):
    """Where the Iceberg catalog lives; ``properties`` go to ``pyiceberg.catalog.load_catalog`` as they are."""

    type: Literal["sql", "rest"]
    uri: str
    warehouse_uri: str
    properties: dict[str, str | dict[str, str | dict[str, str | list[str]]]] = Field(default={})


class EngineSettings(Frozen):
    """Which engine runs the feature code. ``sail`` is embedded; ``spark`` needs a JVM or a remote address.

    ``master`` is a Spark master, the address of a Spark Connect server (``sc://…``), or ``spark-submit`` for a driver
    that ``spark-submit`` has started with a master of its own.
    """

    kind: Literal["sail", "spark"] = "sail"
    master: str = "local[2]"


class RegistryLogin(Frozen):
    """MLflow's user of a remote job. ``secret`` is the secret of Secret Manager that holds the password.

    A process whose environment has ``MLFLOW_TRACKING_PASSWORD`` uses that instead.
    """

    user: str
    secret: str


class RegistrySettings(Frozen):
    """MLflow's tracking and registry store, the folder of its artifacts, and the login where it asks for one."""

    tracking_uri: str
    artifact_uri: str
    login: RegistryLogin | None = None


class CloudLogSettings(Frozen):
    """The log of Cloud Logging that alerts read. It holds each message to people, and each publication of predictions."""

    project: str
    name: str = "contrail"


class ConnectionSettings(Frozen):
    """A connection that sources name. ``secret`` is the secret of Secret Manager that holds its URI."""

    secret: str


class AnalystsSettings(Frozen):
    """The warehouse that analysts query; without one they query the lake by DuckDB (``contrail query``).

    ``dataset`` holds the tables, which analysts may not read. ``views_dataset`` holds the views that they may read.
    """

    kind: Literal["bigquery"]
    project: str
    location: str
    dataset: str
    views_dataset: str


class Settings(Frozen):
    """One environment (``include/environments/<name>.yaml``), with the names in braces filled in.

    A file that ``extends`` another one holds only what differs. ``variables`` are the environment variables that a
    remote job needs to read the same file. ``memory_limit`` (``8GiB``) is for the rows that a process works on; without
    it, half of the memory that the process may use. ``docs_url`` is where people find the documentation's site. Without it,
    Airflow's page serves the one that ``make docs`` has built, if it is there. ``sandbox`` names the place of an
    experiment that everything is published to.
    """

    name: str
    project_path: Path
    home_path: Path
    pipelines_path: Path
    dags_path: Path
    landing_uri: str
    staging_uri: str
    reports_uri: str
    refused_uri: str
    data_versions_remote_uri: str
    lineage_uri: str | None = None
    catalog: CatalogSettings
    engine: EngineSettings = EngineSettings()
    registry: RegistrySettings
    memory_limit: ByteSize | None = Field(default=None, ge=64 * 2**20)
    snapshots_kept: int = 200
    backfill_chunk_days: int = 92
    dispatch: DispatchSettings = DispatchSettings()
    cloud_log: CloudLogSettings | None = None
    analysts: AnalystsSettings | None = None
    docs_url: str | None = Field(default=None, pattern=r"^https?://")
    connections: dict[str, ConnectionSettings] = Field(default={})
    energy: EnergySettings = EnergySettings()
    variables: dict[str, str] = Field(default={})
    sandbox: str | None = None
    _main: "Settings | None" = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _promotes_here(self) -> Self:
        if not self.registry.login:
            return self
        dispatch = self.dispatch
        for where, chosen in {
            "stages": dispatch.stages,
            **{f"pipelines.{n}": p for n, p in dispatch.pipelines.items()},
        }.items():
            target = dispatch.targets.get(chosen.get("promote", LOCAL))
            if target and target.kind in ("dataproc", "vertex"):
                raise ValueError(
                    f"dispatch.{where}.promote: it stays on the worker, because MLflow lets no remote job move an alias "
                    f"(registry.login, user '{self.registry.login.user}')"
                )
        return self

    def inside(self, sandbox: str) -> "Settings":
        """These settings in a sandbox: what is written lies in folders of its own, and no cloud is told.

        The catalog, MLflow and the landing zone are the same. ``stored`` has the names of what is a sandbox's own there.

        Raises:
            SpecError: for a name that is no sandbox's. So no folder or namespace is ever made from one.
        """
        _check_sandbox(sandbox)
        own = f"sandboxes/{sandbox}"
        uris = ("staging_uri", "reports_uri", "refused_uri", "data_versions_remote_uri", "lineage_uri")
        moved = {name: f"{uri.rstrip('/')}/{own}" for name in uris if (uri := getattr(self, name))}
        outside = {"home_path": self.home_path / own, "cloud_log": None, "analysts": None}
        made = self.model_copy(update={**moved, **outside, "sandbox": sandbox})
        made._main = self.model_copy(update={"sandbox": None})  # an environment's file can name one
        return made

    @property
    def main(self) -> "Settings":
        """These settings outside every sandbox."""
        return self._main or self

    def outside(self, what: str) -> "Settings":
        """These settings, for ``what`` happens in the main lake alone.

        Raises:
            SpecError: in a sandbox.
        """
        if self.sandbox:
            raise SpecError(
                f"{what} only in the main lake, and this process is in the sandbox '{self.sandbox}'. Nothing was done. "
                f"Leave --sandbox away, and set the variable to nothing: {_SANDBOX}="
            )
        return self

    def stored(self, name: str) -> str:
        """The name of a pipeline's namespace, experiment and registered model in the stores that sandboxes share."""
        return in_sandbox(self.sandbox, name) if self.sandbox else name

    @property
    def memory_bytes(self) -> int:
        """The memory, in bytes, that one process may use for rows."""
        return int(self.memory_limit or usable() // 2)

    @property
    def landing(self) -> UPath:
        """Folder of the landing zone: ``<pipeline>/<table>/<date>.csv.gz``."""
        return UPath(self.landing_uri)

    @property
    def staging(self) -> UPath:
        """Folder of rows that are not published yet: ``<run id>/<table>``."""
        return UPath(self.staging_uri)

    @property
    def refused(self) -> UPath:
        """Folder of refused files: ``<pipeline>/<table>/…``."""
        return UPath(self.refused_uri)

    @property
    def lineage(self) -> UPath:
        """Folder of the events of lineage, by default in the home: ``<pipeline>/<month>.jsonl``."""
        return UPath(self.lineage_uri or self.home_path / "lineage")

    @property
    def reports(self) -> UPath:
        """Folder of reports for people: ``<pipeline>/<kind>/…``."""
        return UPath(self.reports_uri)


def _load(environment: str, project: Path, home: Path, engine: str | None, memory: str | None) -> Settings:
    folder = project / "include" / "environments"
    path = folder / f"{environment}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise SpecError(f"CONTRAIL_ENV={environment}: there is no {path}. Known environments: {known}.")
    file = EnvironmentFile({"home": home, "project": project}, os.environ, {"CONTRAIL_ENV": environment})
    values = file.read(path, (environment,))
    if engine:
        chosen = {"kind": engine} if engine in ("sail", "spark") else {"kind": "spark", "master": engine}
        values["engine"] = {**values.get("engine", {}), **chosen}
    if memory:
        values["memory_limit"] = memory
    try:
        return Settings(name=environment, project_path=project, home_path=home, variables=file.used, **values)
    except ValidationError as error:
        raise SpecError(explain(path, error, Settings)) from error


@cache
def settings() -> Settings:
    """The settings of this process.

    Environment variables:
        CONTRAIL_ENV: The environment, by default ``dev``.
        CONTRAIL_PROJECT: The repository.
        CONTRAIL_HOME: Where data live, by default ``<project>/.contrail``.
        CONTRAIL_PIPELINES: The folder of pipelines.
        CONTRAIL_DAGS: The folder of DAG files.
        CONTRAIL_ENGINE: ``sail``, ``spark``, or a Spark master or Connect address.
        CONTRAIL_MEMORY_LIMIT: Memory for rows, for example ``8GiB``.
        CONTRAIL_SANDBOX: The sandbox that everything is published to; by default the environment's, or none. Empty means
            none, whatever the environment's file says.
        CONTRAIL_PERSON: Who has started the work, for the records; by default the login name and the machine's.
        CONTRAIL_<NAME>: What the environment's file names in braces.

    Raises:
        SpecError: for an unknown environment, a wrong key in its file, a pipeline there that does not exist, or a wrong
            name of a sandbox.
    """
    for key, value in _LIBRARY_DEFAULTS.items():
        os.environ.setdefault(key, value)
    project = Path(os.environ.get("CONTRAIL_PROJECT", Path(__file__).resolve().parents[3]))
    home = Path(os.environ.get("CONTRAIL_HOME", project / ".contrail")).absolute()
    _check_home(home)
    environment, given = os.environ.get("CONTRAIL_ENV", "dev"), os.environ.get
    loaded = _load(environment, project, home, given("CONTRAIL_ENGINE"), given("CONTRAIL_MEMORY_LIMIT"))
    folders = {"pipelines_path": "CONTRAIL_PIPELINES", "dags_path": "CONTRAIL_DAGS"}
    current = loaded.model_copy(update={field: Path(path) for field, name in folders.items() if (path := given(name))})
    _check_pipelines(current)
    sandbox = current.sandbox if (named := given(_SANDBOX)) is None else named
    main = current.model_copy(update={"sandbox": None})
    return _in_sandbox(main, sandbox) if sandbox else main


def enter_sandbox(name: str) -> None:
    """Let this process, and those that it starts, work in a sandbox. Nothing may have asked for settings to keep them.

    Raises:
        SpecError: for a wrong name.
    """
    _check_sandbox(name)  # an empty variable would be no sandbox
    os.environ[_SANDBOX] = name
    settings.cache_clear()
    settings()


def _in_sandbox(main: Settings, name: str) -> Settings:
    _check_sandbox(name, [found.parent.name for found in main.pipelines_path.glob("*/pipeline.yaml")])
    return main.inside(name)


def _check_sandbox(name: str, pipelines: Iterable[str] = ()) -> None:
    """Refuse a wrong name. Where no pipelines are given, a sandbox that is older than a pipeline of its name can be seen."""
    if wrong := sandbox_problem(name, pipelines):
        raise SpecError(
            f"'{name}' cannot be the name of a sandbox (--sandbox, {_SANDBOX}): {wrong}. Nothing was written or removed. "
            "Choose another, for example deeper_trees"
        )


def _check_home(home: Path) -> None:
    """Refuse a home whose name libraries would read as a part of a URI or as a pattern: files would lie elsewhere."""
    if wrong := sorted(set(_NOT_IN_HOMES.findall(str(home)))):
        told = ", ".join("a line break" if mark == "\n" else repr(mark) for mark in wrong)
        raise SpecError(
            f"CONTRAIL_HOME={str(home)!r} has {told}, which URIs and file patterns read as marks of their own. "
            "Nothing was written. Choose a folder whose path has letters, digits, spaces and . _ - + = @ ~ , only"
        )


def _check_pipelines(current: Settings) -> None:
    """Refuse a budget or a target for an unknown pipeline: with a typing error, the real one would have neither."""
    dispatch = current.dispatch
    named = [("pipelines", name) for name in dispatch.pipelines]
    named += [("monthly_budgets", name) for name in dispatch.monthly_budgets]
    for key, name in named:
        if not (current.pipelines_path / name / "pipeline.yaml").exists():
            known = sorted(found.parent.name for found in current.pipelines_path.glob("*/pipeline.yaml"))
            path = current.project_path / "include" / "environments" / f"{current.name}.yaml"
            raise SpecError(f"{path}: dispatch.{key}.{name}: no such pipeline; {hint(name, known, 'pipelines')}")


def connection_variable(name: str) -> tuple[str, str | None]:
    """The environment variable that Airflow, too, reads a connection from, and its value."""
    variable = f"AIRFLOW_CONN_{name.upper()}"
    return variable, os.environ.get(variable)


def names_lineage_backend() -> bool:
    """Whether this process was told where events of lineage go, in OpenLineage's own way."""
    return any(
        name == "OPENLINEAGE_URL" or name.startswith(("OPENLINEAGE_CONFIG", "OPENLINEAGE__")) for name in os.environ
    )


def lineage_parent() -> tuple[str, str, str] | None:
    """The job that started this process, as OpenLineage names it: namespace, name and run."""
    namespace, _, rest = os.environ.get("OPENLINEAGE_PARENT_ID", "").partition("/")
    name, _, run = rest.rpartition("/")
    return (namespace, name, run) if namespace and name and run else None


def knows_airflow_database() -> bool:
    """Whether this process was told where Airflow's database is. Airflow's own services are; a worker is not."""
    return any(name.startswith("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") for name in os.environ)


def openmp_thread_limit() -> int | None:
    """The number of threads that a person allows every program that uses OpenMP; None without a limit."""
    limit = os.environ.get("OMP_THREAD_LIMIT", "").strip()
    return int(limit) if limit.isdigit() and int(limit) else None


def java_command() -> str:
    """The Java that Spark starts."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def current_person() -> str:
    """Who changes something with this process: the person that an orchestrator names, else ``login@machine``."""
    return os.environ.get(PERSON_VARIABLE, "").strip() or f"{login_name()}@{socket.gethostname()}"


def login_name() -> str:
    """The login name of who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"

"""The stores that every stage needs: the catalog, the model registry, and Airflow's database.

Buckets and accounts belong to ``project``.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from contrail.adapters import mlflow_store
from contrail.adapters.google_api import is_off
from contrail.config.pipeline import pipeline_names
from contrail.config.settings import Settings, knows_airflow_database
from contrail.operations.doctor.findings import Check, FaultError, NotCheckedError

_SECONDS = 10
_SQLITE = "sqlite:///"


def checks(current: Settings) -> list[Check]:
    """The checks of the stores."""
    found = [Check("catalog", partial(catalog, current))]
    if _is_rest(current):
        found.append(Check("commit", partial(commit, current)))
    return [*found, Check("registry", partial(registry, current)), Check("airflow", partial(airflow, current))]


def _is_rest(current: Settings) -> bool:
    return current.catalog.type == "rest"


def catalog(current: Settings) -> str:
    """Whether the catalog answers, and lists what it has."""
    uri = current.catalog.uri
    if not _is_rest(current):
        return _database(uri, *(f"contrail recover -p {name}" for name in pipeline_names()))
    from google.auth.exceptions import GoogleAuthError

    from contrail.lake.catalog import open_catalog

    try:
        names = [".".join(name) for name in open_catalog(current, patient=False).list_namespaces()]
    except GoogleAuthError as error:
        raise NotCheckedError("this process has no account that works; see above") from error
    except Exception as error:
        if is_off(error):
            raise NotCheckedError("a service is off; see above") from error
        raise FaultError(_unreachable(uri, error), _describe_catalog(current), again=_is_away(error)) from error
    return f"{uri} has {len(names)} namespaces" + (f": {', '.join(sorted(names))}" if names else "")


def _describe_catalog(current: Settings) -> str:
    name = current.catalog.warehouse_uri.removeprefix("gs://")
    return f"gcloud biglake iceberg catalogs describe {name}"


def commit(current: Settings) -> str:
    """Whether this account may commit: a commit that no catalog can accept is refused for its content, or for its account."""
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.table.update import AssertTableUUID

    from contrail.lake.catalog import open_catalog

    try:
        opened = open_catalog(current, patient=False)
        tables = (name for space in opened.list_namespaces() for name in opened.list_tables(space))
        first = next(tables, None)
        table = first and opened.load_table(first)
    except Exception as error:
        raise NotCheckedError("the catalog does not answer; see above") from error
    if not (first and table):
        raise NotCheckedError("there is no table yet to try it on; the first ingest shows it")
    try:
        opened.commit_table(table, (AssertTableUUID(uuid=uuid4()),), ())
    except CommitFailedException:
        return f"the catalog takes commits; one on {'.'.join(first)} that cannot hold was refused as it should be"
    except Exception as error:
        raise FaultError(_unreachable(current.catalog.uri, error), _describe_catalog(current)) from error
    raise FaultError(f"the catalog accepted a commit on {'.'.join(first)} that cannot hold; nothing in it was changed")


def registry(current: Settings) -> str:
    """Whether the model registry answers, and keeps artifacts where this environment says."""
    uri = current.registry.tracking_uri
    if not uri.startswith("http"):
        return _database(uri, f"sqlite3 {uri.removeprefix(_SQLITE)} 'PRAGMA integrity_check'")
    import requests
    from mlflow.exceptions import MlflowException

    again = f"curl --fail {uri}/health"
    try:
        requests.get(f"{uri}/health", timeout=_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise FaultError(
            _unreachable(uri, error), again, "sudo docker compose up --detach mlflow", again=True
        ) from error
    try:
        client = mlflow_store.client(current)
        known = {name: found for name in pipeline_names() if (found := client.get_experiment_by_name(name))}
    except MlflowException as error:
        raise FaultError(_unreachable(uri, error), f"curl --fail {uri}/health") from error
    inside = f"{current.registry.artifact_uri}/"
    if wrong := {name: found for name, found in known.items() if not found.artifact_location.startswith(inside)}:
        places = "; ".join(f"{name} keeps its artifacts in {found.artifact_location}" for name, found in wrong.items())
        rename = f"MLFLOW_TRACKING_URI={uri} mlflow experiments rename"
        commands = [
            f"{rename} --experiment-id {one.experiment_id} --new-name {one.name}-before" for one in wrong.values()
        ]
        raise FaultError(f"{places}, not under {inside}", *commands)
    return f"{uri} answers; artifacts are under {inside}"


def airflow(current: Settings) -> str:
    """Whether Airflow's database answers Airflow's own client, in a process that was told where it is."""
    if not knows_airflow_database():
        where = "sudo docker compose exec api-server python -m contrail doctor"
        raise NotCheckedError("only Airflow's own services know its database", *([where] if _is_rest(current) else []))
    asked = [sys.executable, "-m", "airflow", "db", "check"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        last = ([line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no message"])[-1]
        raise FaultError(f"Airflow's database does not answer: {last}", "airflow db check", again=True)
    return "Airflow's database answers"


def _database(uri: str, *commands: str) -> str:
    """Whether a SQL database answers. It is opened for reading; a missing file of SQLite is made at its first use."""
    if uri.startswith(_SQLITE):
        path = Path(uri.removeprefix(_SQLITE))
        if not path.exists():
            return f"{path} will be made"
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            raise FaultError(
                f"{path}: {error}", *commands, again=isinstance(error, sqlite3.OperationalError)
            ) from error
        if said != "ok":
            raise FaultError(f"{path} is damaged: {said}", *commands)
        return f"{path} is whole"
    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": _SECONDS})
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT 1"))
    except SQLAlchemyError as error:
        raise FaultError(_unreachable(shown, error), "docker compose ps postgres", again=True) from error
    finally:
        engine.dispose()
    return f"{shown} answers"


def _is_away(error: Exception) -> bool:
    import requests

    return isinstance(error, requests.ConnectionError | requests.Timeout | ConnectionError)


def _unreachable(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0][:300]}"

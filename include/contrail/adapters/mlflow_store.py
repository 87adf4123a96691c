"""MLflow's store: its first making, the client that opens it, and queries to its database without MLflow.

``registry`` (versions, aliases) and ``training_runs`` read and write the contents.
"""

import io
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from contrail.adapters.secret_manager import read_secret
from contrail.config.settings import Settings
from contrail.errors import EngineError, SpecError
from contrail.files import unfinished_beside
from contrail.interrupts import held_back
from contrail.locks import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQL_STORES = ("sqlite:", "postgresql", "mysql")
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_STAND_IN, _MODELS = "contrail_trash", 50
_MAKES = "is making the model registry's database"


def client(settings: Settings) -> "MlflowClient":
    """Open MLflow's client for this environment. The very first call makes the database (some seconds).

    Raises:
        EngineError: when the store cannot be opened, with its address.
        SpecError: when MLflow or Secret Manager refuses the login.
    """
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = settings.registry.tracking_uri
    with mlflow_errors(f"open the model registry {uri}"):
        if path := _file_of(uri):
            _make_database(path)
        # MLflow's registry looks up logged models in the store of the process, not in that of the client. It would also
        # ask a Spark session for the registry's address.
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        if path or not is_database(uri):
            _log_in(settings)
            return mlflow.MlflowClient(uri, uri)
        # On a server, the first of several processes makes the tables, and the others wait for it.
        with locked(settings.home_path / "locks" / "registry", _MAKES):
            return mlflow.MlflowClient(uri, uri)


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yield all that a search of MLflow finds, asked page by page. Who removes what it finds takes the whole list first."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        if not (token := page.token):
            return


def collect(
    settings: Settings, runs: Sequence[str] = (), models: Sequence[str] = (), experiments: Sequence[str] = ()
) -> None:
    """Remove these from MLflow's trash for good, with their files, by ``mlflow gc``. What else lies there stays.

    Where it is given no id of a kind, MLflow takes everything of that kind. So each list also has one that was made for it.
    """
    from mlflow.cli import gc

    uri, mlflow = settings.registry.tracking_uri, client(settings)
    with locked(settings.main.home_path / "locks" / "mlflow-trash", "is emptying MLflow's trash"):
        number, run, own = _stand_ins(mlflow)
        arguments = ["--backend-store-uri", uri, "--tracking-uri", uri]
        for option, ids in (
            ("--run-ids", [*runs, run]),
            ("--logged-model-ids", [*models, *own]),
            ("--experiment-ids", [*experiments, number]),
        ):
            arguments += [option, ",".join(dict.fromkeys(ids))]
        with redirect_stdout(io.StringIO()):
            gc.main(arguments, standalone_mode=False)


def _stand_ins(mlflow: "MlflowClient") -> tuple[str, str, list[str]]:
    """Put an experiment with a run and a model into the trash, where a killed call may have left them already."""
    known = mlflow.get_experiment_by_name(_STAND_IN)
    if known is not None and known.lifecycle_stage == "deleted":
        mlflow.restore_experiment(known.experiment_id)
    number = known.experiment_id if known is not None else mlflow.create_experiment(_STAND_IN)
    run = mlflow.create_run(number).info.run_id
    made = mlflow.create_logged_model(number).model_id
    left = [one.model_id for one in pages(partial(mlflow.search_logged_models, [number], max_results=_MODELS))]
    models = list(dict.fromkeys([made, *left]))
    for model in models:
        mlflow.delete_logged_model(model)
    mlflow.delete_experiment(number)
    return number, run, models


def _log_in(settings: Settings) -> None:
    """Give MLflow's client the login of a job, unless this process was started with one. It reads the secret once."""
    from mlflow.environment_variables import MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_USERNAME

    login = settings.registry.login
    if login and not MLFLOW_TRACKING_PASSWORD.is_set():
        password = read_secret(login.secret)
        MLFLOW_TRACKING_USERNAME.set(login.user)
        MLFLOW_TRACKING_PASSWORD.set(password)


@contextmanager
def mlflow_errors(what: str) -> Iterator[None]:
    """Turn MLflow's own errors, and those of its database and its files, into an ``EngineError``.

    A login that MLflow refuses becomes a ``SpecError``, because no retry helps. Ctrl-C ends the block where MLflow's database
    is a file: what it would cut keeps the file locked, also for whoever then notes how the command ended.

    Args:
        what: What could not be done, as in "could not ...".
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with held_back() if _file_of(mlflow.get_tracking_uri()) else nullcontext():
            yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        if getattr(error, "error_code", None) in _REFUSED:
            raise SpecError(
                f"could not {what}: MLflow refused the login of this process. {error}. Nothing was changed. Check "
                'MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or a job\'s secret (docs/several-machines.md, "Log in").'
            ) from error
        raise EngineError(f"could not {what}: {error}. Run the command again once the registry answers.") from error


def _make_database(path: Path) -> None:
    """Make MLflow's SQLite database in a place beside its own, and move it there whole.

    MLflow makes its tables one by one. A process that was killed meanwhile, or two at once, would leave a database that
    no later command can open.
    """
    if _is_whole(path):
        return
    with locked(path.with_name(f"{path.name}.lock"), _MAKES):
        if _is_whole(path):
            return
        for left in [*path.parent.glob(f".{path.name}.*"), *path.parent.glob(f"{path.name}-*")]:
            left.unlink()
        if path.exists():  # it holds nothing but empty tables
            path.rename(path.with_name(f"{path.name}.unfinished"))
        made, copied = (unfinished_beside(path) for _ in range(2))
        _make_tables(f"sqlite:///{made}")
        shutil.copyfile(made, copied)  # MLflow keeps the first file open in this process
        copied.rename(path)
        made.unlink()


def _make_tables(uri: str) -> None:
    import mlflow

    mlflow.MlflowClient(uri, uri).search_experiments(max_results=1)


def _is_whole(path: Path) -> bool:
    """Whether a database was made to its end. MLflow's last step adds the first experiment.

    Raises:
        EngineError: when the file is damaged.
    """
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError as error:
        return "no such table" not in str(error)  # a database that is locked was made before
    except sqlite3.DatabaseError as error:
        raise EngineError(
            f"the model registry's database {path} is damaged: {error}. Nothing was changed. Put a copy from your backups "
            "in its place, then run the command again."
        ) from error


def is_database(uri: str) -> bool:
    """Say whether a store is a SQL database, which takes queries without MLflow."""
    return uri.startswith(_SQL_STORES)


def no_database(uri: str) -> bool:
    """Say whether nothing was ever registered. A query to SQLite would make an empty file."""
    path = _file_of(uri)
    return path is not None and not _is_whole(path)


def _file_of(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def ask_database(settings: Settings, query: str, values: Mapping[str, str]) -> Sequence[Any] | None:
    """Run a query on MLflow's own database. None: the database takes no query."""
    uri = settings.registry.tracking_uri
    if not is_database(uri):
        return None
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return connection.execute(sqlalchemy.text(query), dict(values)).fetchall()
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()

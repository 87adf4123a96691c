"""MLflow's store: the client that opens it, and queries to its database without MLflow.

``registry`` (versions, aliases) and ``training_runs`` read and write the contents.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from contrail.config.settings import Settings
from contrail.errors import EngineError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQL_STORES = ("sqlite:", "postgresql", "mysql")


def client(settings: Settings) -> "MlflowClient":
    """Open MLflow's client for this environment. The very first call makes the database (some seconds)."""
    _make_folders(settings)
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = settings.registry.tracking_uri
    # MLflow's registry looks up logged models in the store of the process, not in that of the client. It would also ask a
    # Spark session for the registry's address.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        return mlflow.MlflowClient(uri, uri)
    except SQLAlchemyError as error:
        raise EngineError(f"the model registry {uri} cannot be opened: {error}") from error


def _make_folders(settings: Settings) -> None:
    uri = settings.registry.tracking_uri
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


def is_database(uri: str) -> bool:
    """Say whether a store is a SQL database, which takes queries without MLflow."""
    return uri.startswith(_SQL_STORES)


def no_database(uri: str) -> bool:
    """Say whether nothing was ever registered. A query to SQLite would make an empty file."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()


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

"""MLflow: where training runs and model versions are kept, and which version is champion.

The registered model has the pipeline's name. A version is resolved to a local folder that is fetched once. What makes
a model good is not decided here.
"""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version as library_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from contrail.config.settings import Settings
from contrail.errors import EngineError, MissingInputError
from contrail.methods.model_package import ModelPackage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CHAMPION, CHALLENGER, LATEST = "champion", "challenger", "latest"
_LOADER = "contrail.methods.model_package"
_MODEL_LIBRARIES = ("xgboost", "numpy", "pyarrow", "pydantic")
_SOURCE = ".source"
_WINDOW = "training_window"
_VERSIONS = 10_000
_SQL_STORES = ("sqlite:", "postgresql", "mysql")
_METRICS_A_BATCH, _PARAMS_A_BATCH = 900, 90
# MLflow allows letters, digits and these in the name of a metric.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_\-. :/]")


@dataclass(frozen=True)
class RegisteredModel:
    """A model version with its package, read from a local folder."""

    name: str
    version: str
    folder: Path
    package: ModelPackage


@dataclass(frozen=True)
class TrainingSet:
    """The data that a run learned from, as MLflow lists it."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class TrainingLog:
    """Everything about a training run that MLflow keeps; ``artifacts`` is a folder of files for people."""

    run_name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Path
    data: tuple[TrainingSet, ...] = ()


@dataclass(frozen=True)
class LoggedRun:
    """A finished MLflow run and the model in it."""

    run_id: str
    model_id: str


@dataclass(frozen=True)
class VersionInfo:
    """A registered version as the registry knows it."""

    name: str
    version: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)


def client(settings: Settings) -> "MlflowClient":
    """MLflow's client for this environment; the first one ever makes the database (some seconds)."""
    _make_folders(settings)
    import mlflow
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uri = settings.registry.tracking_uri
    # MLflow's registry looks logged models up in the process's store, whatever store a client was given; and it would ask
    # a Spark session where the registry is.
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


# ---- training runs ----


def log_training(settings: Settings, name: str, log: TrainingLog, package: Path, output: str) -> LoggedRun:
    """Log a training run with its model, in one batch.

    Args:
        settings: Where MLflow is.
        name: Pipeline; also the experiment.
        log: What to keep.
        package: Folder of a saved ``ModelPackage``; MLflow's own files are added to it.
        output: Name of the predicted column, for the signature.
    """
    mlflow = client(settings)
    experiment = _experiment(mlflow, settings, name)
    run = mlflow.create_run(experiment, run_name=log.run_name, tags=dict(log.tags))
    run_id = run.info.run_id
    try:
        model_id = _log_model(mlflow, experiment, run_id, package, output, log.params)
        _log_batch(mlflow, run_id, model_id, log)
        mlflow.log_artifacts(run_id, str(log.artifacts))
        mlflow.set_terminated(run_id)
    except BaseException:
        with suppress(Exception):  # the first error is the one to show
            mlflow.set_terminated(run_id, "FAILED")
        raise
    return LoggedRun(run_id, model_id)


def _experiment(mlflow: "MlflowClient", settings: Settings, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            return mlflow.create_experiment(name, artifact_location=f"{settings.registry.artifact_uri}/{name}")
        except MlflowException:  # another run made it between our look and our create
            found = mlflow.get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


def _log_model(
    mlflow: "MlflowClient", experiment: str, run_id: str, package: Path, output: str, params: Mapping[str, object]
) -> str:
    """Log the package as an MLflow model.

    ``mlflow.xgboost.log_model`` would not do: it does not know categories, and it infers requirements for seconds.
    """
    from mlflow import pyfunc
    from mlflow.models import Model

    texts = {key: str(value) for key, value in params.items()}
    logged = mlflow.create_logged_model(experiment, "model", source_run_id=run_id, params=texts, model_type="xgboost")
    model = Model(run_id=run_id, model_id=logged.model_id, signature=_signature(package, output))
    pyfunc.add_to_model(model, loader_module=_LOADER)
    requirements = [f"{library}=={library_version(library)}" for library in _MODEL_LIBRARIES]
    (package / "requirements.txt").write_text("\n".join(requirements) + "\n")
    model.save(str(package / "MLmodel"))
    mlflow.log_model_artifacts(logged.model_id, str(package))
    mlflow.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)


def _signature(package: Path, output: str) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    card = ModelPackage.load(package).card
    inputs = [ColSpec("string" if n in card.categories else "double", n, required=False) for n in card.features]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec("double", output)]))


def _log_batch(mlflow: "MlflowClient", run_id: str, model_id: str, log: TrainingLog) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param

    now = int(time.time() * 1000)
    params = [Param(key, str(value)) for key, value in log.params.items()]
    metrics = [
        Metric(_NOT_IN_NAMES.sub("_", key), value, now, 0, model_id=model_id) for key, value in log.metrics.items()
    ]
    while params or metrics:  # one batch, unless a pipeline has very many segments
        mlflow.log_batch(run_id, metrics[:_METRICS_A_BATCH], params[:_PARAMS_A_BATCH])
        params, metrics = params[_PARAMS_A_BATCH:], metrics[_METRICS_A_BATCH:]
    data = [
        DatasetInput(
            Dataset(one.name, one.digest[:36], "local", one.source), [InputTag("mlflow.data.context", "train")]
        )
        for one in log.data
    ]
    mlflow.log_inputs(run_id, data)
    mlflow.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])


def log_files(settings: Settings, version: VersionInfo, folder: Path, artifact_path: str) -> str:
    """Keep the files of a folder with the run of a version; returns where they are."""
    client(settings).log_artifacts(version.run_id, str(folder), artifact_path)
    return f"runs:/{version.run_id}/{artifact_path}"


# ---- versions and aliases ----


def register(settings: Settings, name: str, logged: LoggedRun, tags: Mapping[str, str], description: str) -> str:
    """Make a version of the registered model ``name`` from a logged run; returns its number. No alias moves."""
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    with suppress(MlflowException):  # it is there already
        mlflow.create_registered_model(name)
    source = f"models:/{logged.model_id}"
    made = mlflow.create_model_version(
        name, source, logged.run_id, tags=dict(tags), description=description, model_id=logged.model_id
    )
    return str(made.version)


def describe_version(settings: Settings, name: str, ref: str) -> VersionInfo:
    """The registry's entry of ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: saying what to run.
    """
    from mlflow.exceptions import MlflowException

    version = _find(settings, name, ref).version
    try:
        found = client(settings).get_model_version(name, version)
    except MlflowException as error:
        raise _missing(name, ref) from error
    return VersionInfo(name, str(found.version), str(found.run_id), dict(found.tags))


def tag_version(settings: Settings, version: VersionInfo, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    mlflow = client(settings)
    for key, value in tags.items():
        mlflow.set_model_version_tag(version.name, version.version, key, value)


def set_alias(settings: Settings, version: VersionInfo, alias: str) -> None:
    """Point an alias at a version."""
    client(settings).set_registered_model_alias(version.name, alias, version.version)


def alias_version(settings: Settings, name: str, alias: str) -> str | None:
    """The version that an alias points at; None when it points at none."""
    try:
        return _find(settings, name, alias).version
    except MissingInputError:
        return None


def training_windows_of(settings: Settings, name: str) -> dict[str, str]:
    """The training window (``2013-01-01..2013-08-31``) of every version, by its number."""
    found = _windows_in_database(settings, name)
    if found is None:
        versions = client(settings).search_model_versions(f"name = '{name}'", max_results=_VERSIONS)
        found = {str(v.version): v.tags[_WINDOW] for v in versions if _WINDOW in v.tags}
    return dict(sorted(found.items(), key=lambda entry: int(entry[0])))


def _windows_in_database(settings: Settings, name: str) -> dict[str, str] | None:
    if _no_database(settings.registry.tracking_uri):
        return {}
    query = f"SELECT version, value FROM model_version_tags WHERE name = :name AND key = '{_WINDOW}'"
    rows = _ask_database(settings, query, {"name": name})
    return None if rows is None else {str(version): str(value) for version, value in rows}


def resolve(settings: Settings, name: str, ref: str) -> RegisteredModel:
    """A version with its package, fetched to ``<home>/models/<name>/<version>`` the first time.

    Args:
        settings: Where MLflow and the home are.
        name: Registered model, which is the pipeline's name.
        ref: ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: when there is no such version, saying what to run.
        DataError: when the package is damaged.
    """
    found = _find(settings, name, ref)
    folder = settings.home_path / "models" / name / found.version
    kept = folder / _SOURCE
    # A registry that was made anew counts its versions from 1 again: the number alone does not name a model.
    if not kept.exists() or kept.read_text() != found.source:
        _fetch(settings, name, found, folder)
    return RegisteredModel(name, found.version, folder, ModelPackage.load(folder))


def _fetch(settings: Settings, name: str, found: "_Found", folder: Path) -> None:
    client(settings)  # sets MLflow up quietly
    from mlflow.artifacts import download_artifacts

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{found.version}-") as place:
        uri = f"models:/{name}/{found.version}"
        fetched = Path(place) / "package"
        fetched.mkdir()
        download_artifacts(artifact_uri=uri, dst_path=str(fetched), tracking_uri=settings.registry.tracking_uri)
        (fetched / _SOURCE).write_text(found.source)
        if folder.exists():
            shutil.rmtree(folder)
        with suppress(OSError):  # another run has just put the same version there
            fetched.rename(folder)


@dataclass(frozen=True)
class _Found:
    version: str
    source: str


def _find(settings: Settings, name: str, ref: str) -> _Found:
    """The version that a reference means, and where its package is."""
    if ref not in (CHAMPION, CHALLENGER, LATEST) and not ref.isdigit():
        raise MissingInputError(
            f"'{ref}' names no model of '{name}': use champion, challenger, latest or a version number"
        )
    found = _find_in_database(settings, name, ref)
    if found is None:
        found = _find_with_client(settings, name, ref)
    if found is None:
        raise _missing(name, ref)
    return found


def _find_in_database(settings: Settings, name: str, ref: str) -> _Found | None:
    """Ask MLflow's database itself: importing MLflow and opening its store takes 5 s, this 20 ms.

    A day's scoring, drift and performance each need one alias. Any surprise is left to MLflow's client.
    """
    uri = settings.registry.tracking_uri
    if not uri.startswith(_SQL_STORES):
        return None
    if _no_database(uri):
        raise _missing(name, ref)
    where = {
        LATEST: "v.version = (SELECT max(version) FROM model_versions WHERE name = :name)",
        CHAMPION: "v.version IN (SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :ref)",
    }
    chosen = where.get(CHAMPION if ref == CHALLENGER else ref, "CAST(v.version AS CHAR(20)) = :ref")
    query = f"SELECT v.version, v.source FROM model_versions v WHERE v.name = :name AND {chosen}"
    rows = _ask_database(settings, query, {"name": name, "ref": ref})
    return _Found(str(rows[0][0]), str(rows[0][1])) if rows and len(rows) == 1 else None


def _no_database(uri: str) -> bool:
    """Whether nothing was ever registered; asking SQLite would make an empty file."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()


def _ask_database(settings: Settings, query: str, values: Mapping[str, str]) -> Sequence[Any] | None:
    """Rows of MLflow's own database; None where it cannot be asked."""
    uri = settings.registry.tracking_uri
    if not uri.startswith(_SQL_STORES):
        return None
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            return connection.execute(sqlalchemy.text(query), dict(values)).fetchall()
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def _find_with_client(settings: Settings, name: str, ref: str) -> _Found | None:
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    try:
        if ref == LATEST:
            every = mlflow.search_model_versions(f"name = '{name}'", max_results=1, order_by=["version_number DESC"])
            found = every[0] if every else None
        elif ref.isdigit():
            found = mlflow.get_model_version(name, ref)
        else:
            found = mlflow.get_model_version_by_alias(name, ref)
    except MlflowException:
        return None
    return _Found(str(found.version), str(found.source)) if found else None


def _missing(name: str, ref: str) -> MissingInputError:
    known = {CHAMPION: "has no champion", CHALLENGER: "has no challenger", LATEST: "has no model in the registry"}
    next_step = "promote" if ref in (CHAMPION, CHALLENGER) else "train"
    return MissingInputError(
        f"pipeline '{name}' {known.get(ref, f'has no model version {ref}')}. "
        f"Run: contrail {next_step} --pipeline {name} --from … --to …"
    )

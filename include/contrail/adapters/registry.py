"""The registry: versions of models in MLflow, and which of them is champion.

The registered model has the pipeline's name. ``resolve`` fetches a version once, into a local folder. This module does not
decide which model is good.
"""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from contrail.adapters.mlflow_store import ask_database, client, is_database, no_database
from contrail.adapters.training_runs import LoggedRun
from contrail.config.settings import Settings
from contrail.errors import MissingInputError
from contrail.methods.model_package import ModelPackage

if TYPE_CHECKING:
    pass

CHAMPION, CHALLENGER, LATEST = "champion", "challenger", "latest"
_SOURCE = ".source"
_WINDOW = "training_window"
_VERSIONS = 10_000


@dataclass(frozen=True)
class RegisteredModel:
    """A model version with its package, read from a local folder."""

    name: str
    version: str
    folder: Path
    package: ModelPackage


@dataclass(frozen=True)
class VersionInfo:
    """A registered version as the registry knows it."""

    name: str
    version: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)


def register(settings: Settings, name: str, logged: LoggedRun, tags: Mapping[str, str], description: str) -> str:
    """Make a version of the registered model ``name`` from a logged run. Return its number. No alias moves."""
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    with suppress(MlflowException):  # it exists already
        mlflow.create_registered_model(name)
    source = f"models:/{logged.model_id}"
    made = mlflow.create_model_version(
        name, source, logged.run_id, tags=dict(tags), description=description, model_id=logged.model_id
    )
    return str(made.version)


def describe_version(settings: Settings, name: str, ref: str) -> VersionInfo:
    """Read the registry's entry of ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: with the command to run.
    """
    from mlflow.exceptions import MlflowException

    version = _find(settings, name, ref).version
    try:
        found = client(settings).get_model_version(name, version)
    except MlflowException as error:
        raise _missing(name, ref) from error
    return VersionInfo(name, str(found.version), str(found.run_id), dict(found.tags))


def log_files(settings: Settings, version: VersionInfo, folder: Path, artifact_path: str) -> str:
    """Store the files of a folder with the run of a version, and return their URI."""
    client(settings).log_artifacts(version.run_id, str(folder), artifact_path)
    return f"runs:/{version.run_id}/{artifact_path}"


def tag_version(settings: Settings, version: VersionInfo, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    mlflow = client(settings)
    for key, value in tags.items():
        mlflow.set_model_version_tag(version.name, version.version, key, value)


def set_alias(settings: Settings, version: VersionInfo, alias: str) -> None:
    """Point an alias at a version."""
    client(settings).set_registered_model_alias(version.name, alias, version.version)


def alias_version(settings: Settings, name: str, alias: str) -> str | None:
    """Return the version that an alias points at, or None."""
    try:
        return _find(settings, name, alias).version
    except MissingInputError:
        return None


def training_windows_of(settings: Settings, name: str) -> dict[str, str]:
    """Return the training window (``2013-01-01..2013-08-31``) of every version, by its number."""
    found = _windows_in_database(settings, name)
    if found is None:
        versions = client(settings).search_model_versions(f"name = '{name}'", max_results=_VERSIONS)
        found = {str(v.version): v.tags[_WINDOW] for v in versions if _WINDOW in v.tags}
    return dict(sorted(found.items(), key=lambda entry: int(entry[0])))


def _windows_in_database(settings: Settings, name: str) -> dict[str, str] | None:
    if no_database(settings.registry.tracking_uri):
        return {}
    query = f"SELECT version, value FROM model_version_tags WHERE name = :name AND key = '{_WINDOW}'"
    rows = ask_database(settings, query, {"name": name})
    return None if rows is None else {str(version): str(value) for version, value in rows}


def resolve(settings: Settings, name: str, ref: str) -> RegisteredModel:
    """Return a version with its package. The first call fetches it to ``<home>/models/<name>/<version>``.

    Args:
        settings: Say where MLflow and the home are.
        name: Registered model, which has the pipeline's name.
        ref: ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: when the version does not exist, with the command to run.
        DataError: when the package is damaged.
    """
    found = _find(settings, name, ref)
    folder = settings.home_path / "models" / name / found.version
    kept = folder / _SOURCE
    # A new registry counts its versions from 1 again, so the number alone does not identify a model.
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
    """Find the version that a reference means, and the place of its package."""
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
    """Query MLflow's database directly. That takes 20 ms; importing MLflow and opening its store takes 5 s.

    The daily scoring, drift and performance each need one alias. On any surprise MLflow's client takes over.
    """
    uri = settings.registry.tracking_uri
    if not is_database(uri):
        return None
    if no_database(uri):
        raise _missing(name, ref)
    where = {
        LATEST: "v.version = (SELECT max(version) FROM model_versions WHERE name = :name)",
        CHAMPION: "v.version IN (SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :ref)",
    }
    chosen = where.get(CHAMPION if ref == CHALLENGER else ref, "CAST(v.version AS CHAR(20)) = :ref")
    query = f"SELECT v.version, v.source FROM model_versions v WHERE v.name = :name AND {chosen}"
    rows = ask_database(settings, query, {"name": name, "ref": ref})
    return _Found(str(rows[0][0]), str(rows[0][1])) if rows and len(rows) == 1 else None


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

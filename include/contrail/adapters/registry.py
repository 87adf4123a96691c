"""The registry: versions of models in MLflow, and which of them is champion.

The registered model has the pipeline's name, or a sandbox's for it (``Settings.stored``). ``resolve`` fetches a version
once, into a local folder. This module does not decide which model is good.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from contrail.adapters.mlflow_store import ask_database, client, is_database, mlflow_errors, no_database
from contrail.adapters.training_runs import LoggedRun, own_run
from contrail.config.settings import Settings
from contrail.errors import DataError, EngineError, MissingInputError
from contrail.files import folder_beside, scratch
from contrail.methods.model_package import ModelPackage

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, LATEST = "champion", "challenger", "latest"
# The tag of a version with the digest of its card. The card has the digests of the other files.
CARD_DIGEST = "card_sha256"
# The tag with the URI of the newest decision on a version.
DECISION_RECORD = "decision_record"
_SOURCE = ".source"
_DELETED = "Deleted_Internal"  # how MLflow marks a version that a person deleted
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
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
    """A registered version as the registry knows it. ``made_at`` is the time of its registration."""

    name: str
    version: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    made_at: datetime | None = None


def register(settings: Settings, name: str, logged: LoggedRun, tags: Mapping[str, str], description: str) -> str:
    """Make a version of the registered model ``name`` from a logged run. Return its number. No alias moves."""
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    with suppress(MlflowException):  # it exists already
        mlflow.create_registered_model(settings.stored(name))
    source = f"models:/{logged.model_id}"
    with mlflow_errors(f"register the run {logged.run_id} as a version of '{name}'"):
        made = mlflow.create_model_version(
            settings.stored(name),
            source,
            logged.run_id,
            tags={**tags, CARD_DIGEST: logged.card_sha256},
            description=description,
            model_id=logged.model_id,
        )
    return str(made.version)


def describe_version(settings: Settings, name: str, ref: str) -> VersionInfo:
    """Read the registry's entry of ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: with the command to run.
    """
    version = _find(settings, name, ref).version
    found = next((one for one in versions(settings, name) if one.version == version), None)
    if found is None:
        raise _missing(settings, name, ref)
    return found


def versions(settings: Settings, name: str) -> list[VersionInfo]:
    """Read every version that nobody has deleted, oldest first."""
    if no_database(settings.registry.tracking_uri):
        return []
    every = _versions_in_database(settings, name)
    if every is None:
        with mlflow_errors(f"read the versions of '{name}'"):
            stored = settings.stored(name)
            found = client(settings).search_model_versions(f"name = '{stored}'", max_results=_VERSIONS)
        every = [
            VersionInfo(name, str(one.version), str(one.run_id), dict(one.tags), _moment(one.creation_timestamp))
            for one in found
        ]
    return sorted(every, key=lambda one: int(one.version))


def _versions_in_database(settings: Settings, name: str) -> list[VersionInfo] | None:
    """Query MLflow's database directly; see ``_find_in_database``."""
    query = (
        "SELECT v.version, v.run_id, v.creation_time, t.key, t.value FROM model_versions v LEFT JOIN model_version_tags t "
        f"ON t.name = v.name AND t.version = v.version WHERE v.name = :name AND v.current_stage <> '{_DELETED}'"
    )
    rows = ask_database(settings, query, {"name": settings.stored(name)})
    if rows is None:
        return None
    found: dict[str, VersionInfo] = {}
    for version, run_id, made, key, value in rows:
        one = found.setdefault(str(version), VersionInfo(name, str(version), str(run_id), {}, _moment(made)))
        if key is not None:
            one.tags[str(key)] = str(value)
    return list(found.values())


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def log_files(settings: Settings, version: VersionInfo, folder: Path, artifact_path: str) -> str:
    """Store the files of a folder with the run of a version, and return their URI.

    In a sandbox, a version of the main lake gets a run of the sandbox's: its own run stays as it is.
    """
    with mlflow_errors(f"keep {artifact_path} with {version.name} version {version.version}"):
        run = own_run(settings, version.name, version.run_id, f"records of version {version.version}")
        client(settings).log_artifacts(run, str(folder), artifact_path)
    return f"runs:/{run}/{artifact_path}"


def read_file(settings: Settings, version: VersionInfo, uri: str) -> bytes:
    """Read a file that ``log_files`` has stored with the run of a version."""
    client(settings)  # sets MLflow up quietly
    from mlflow.artifacts import download_artifacts

    with (
        scratch("contrail-file-") as place,
        mlflow_errors(f"read {uri} of {version.name} version {version.version}"),
    ):
        found = download_artifacts(artifact_uri=uri, dst_path=str(place), tracking_uri=settings.registry.tracking_uri)
        return Path(found).read_bytes()


def tag_version(settings: Settings, version: VersionInfo, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    mlflow = client(settings)
    with mlflow_errors(f"tag {version.name} version {version.version}"):
        for key, value in tags.items():
            mlflow.set_model_version_tag(settings.stored(version.name), version.version, key, value)


def set_alias(settings: Settings, version: VersionInfo, alias: str) -> None:
    """Point an alias at a version."""
    with mlflow_errors(f"make {version.name} version {version.version} {alias}"):
        client(settings).set_registered_model_alias(settings.stored(version.name), alias, version.version)


def alias_version(settings: Settings, name: str, alias: str) -> str | None:
    """Return the version that an alias points at, or None. An alias of a deleted version points at none."""
    try:
        return _find(settings, name, alias).version
    except MissingInputError:
        return None


def exists(settings: Settings, name: str, version: str) -> bool:
    """Say whether the registry has a version that nobody has deleted."""
    try:
        return bool(_find(settings, name, version))
    except MissingInputError:
        return False


def training_windows_of(settings: Settings, name: str) -> dict[str, str]:
    """Return the training window (``2013-01-01..2013-08-31``) of every version, by its number."""
    found = _windows_in_database(settings, name)
    if found is None:
        stored = settings.stored(name)
        versions = client(settings).search_model_versions(f"name = '{stored}'", max_results=_VERSIONS)
        found = {str(v.version): v.tags[_WINDOW] for v in versions if _WINDOW in v.tags}
    return dict(sorted(found.items(), key=lambda entry: int(entry[0])))


def _windows_in_database(settings: Settings, name: str) -> dict[str, str] | None:
    if no_database(settings.registry.tracking_uri):
        return {}
    query = f"SELECT version, value FROM model_version_tags WHERE name = :name AND key = '{_WINDOW}'"
    rows = ask_database(settings, query, {"name": settings.stored(name)})
    return None if rows is None else {str(version): str(value) for version, value in rows}


def resolve(settings: Settings, name: str, ref: str) -> RegisteredModel:
    """Return a version with its package. The first call fetches it to ``<home>/models/<name>/<version>``.

    A kept copy that is damaged is fetched again.

    Args:
        settings: Say where MLflow and the home are.
        name: Registered model, which has the pipeline's name.
        ref: ``champion``, ``challenger``, ``latest`` or a version number.

    Raises:
        MissingInputError: when the version does not exist, with the command to run.
        DataError: when the registry's own package is damaged.
    """
    found = _find(settings, name, ref)
    if not found.digest:
        raise DataError(
            f"{name} version {found.version} was registered without the digest of its card, so nothing shows that its files "
            f"are those of its training. To go on, {_instead(settings, name, found.version)}"
        )
    folder = settings.home_path / "models" / name / found.version
    kept = folder / _SOURCE
    # A new registry counts its versions from 1 again, so the number alone does not identify a model.
    if kept.exists() and kept.read_text(errors="replace") == found.source:
        with suppress(DataError):
            return RegisteredModel(name, found.version, folder, ModelPackage.load(folder, found.digest))
    _fetch(settings, name, found, folder)
    try:
        return RegisteredModel(name, found.version, folder, ModelPackage.load(folder, found.digest))
    except DataError as error:
        raise DataError(
            f"{name} version {found.version} is damaged in the registry itself: {error}. Nothing was scored with it. "
            f"Restore its files at {_place_of(settings, name, found.version)}, or {_instead(settings, name, found.version)}"
        ) from error


def _place_of(settings: Settings, name: str, version: str) -> str:
    with mlflow_errors(f"find the files of {name} version {version}"):
        return str(client(settings).get_model_version_download_uri(settings.stored(name), version))


def _instead(settings: Settings, name: str, version: str) -> str:
    """What to do without a version: the newest other one, or a new one."""
    others = [one.version for one in versions(settings, name) if one.version != version and CARD_DIGEST in one.tags]
    if others:
        return f"use another version: contrail promote --pipeline {name} --model {others[-1]}"
    return f"train again: contrail train --pipeline {name}"


def _fetch(settings: Settings, name: str, found: "_Found", folder: Path) -> None:
    client(settings)  # sets MLflow up quietly
    from mlflow.artifacts import download_artifacts

    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(folder) as place:
        uri = f"models:/{settings.stored(name)}/{found.version}"
        fetched = place / "package"
        fetched.mkdir()
        with mlflow_errors(f"fetch the files of {name} version {found.version}"):
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
    digest: str | None


def _find(settings: Settings, name: str, ref: str) -> _Found:
    """Find the version that a reference means, the place of its package, and its card's digest."""
    number = ref.isascii() and ref.isdigit() and ref[0] != "0" and len(ref) < 10  # MLflow's database keeps 31 bits
    if ref not in (CHAMPION, CHALLENGER, LATEST) and not number:
        raise MissingInputError(
            f"'{ref}' names no model of '{name}': use champion, challenger, latest or a version number"
        )
    if no_database(settings.registry.tracking_uri):
        raise _missing(settings, name, ref)
    found = _find_in_database(settings, name, ref) or _find_with_client(settings, name, ref)
    if found is None:
        raise _missing(settings, name, ref)
    return found


def _find_in_database(settings: Settings, name: str, ref: str) -> _Found | None:
    """Query MLflow's database directly. That takes 20 ms; importing MLflow and opening its store takes 5 s.

    The daily scoring, drift and performance each need one alias. On any surprise MLflow's client takes over.
    """
    if not is_database(settings.registry.tracking_uri):
        return None
    there = f"current_stage <> '{_DELETED}'"
    where = {
        LATEST: f"v.version = (SELECT max(version) FROM model_versions WHERE name = :name AND {there})",
        CHAMPION: "v.version IN (SELECT version FROM registered_model_aliases WHERE name = :name AND alias = :ref)",
    }
    chosen = where.get(CHAMPION if ref == CHALLENGER else ref, "CAST(v.version AS CHAR(20)) = :ref")
    query = (
        "SELECT v.version, v.source, t.value FROM model_versions v LEFT JOIN model_version_tags t "
        f"ON t.name = v.name AND t.version = v.version AND t.key = '{CARD_DIGEST}' "
        f"WHERE v.name = :name AND v.{there} AND {chosen}"
    )
    rows = ask_database(settings, query, {"name": settings.stored(name), "ref": ref})
    return _Found(str(rows[0][0]), str(rows[0][1]), rows[0][2]) if rows and len(rows) == 1 else None


def _find_with_client(settings: Settings, name: str, ref: str) -> _Found | None:
    from mlflow.exceptions import MlflowException

    mlflow = client(settings)
    try:
        found = _asked(mlflow, settings.stored(name), ref)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise EngineError(f"the model registry {settings.registry.tracking_uri} does not answer: {error}") from error
    return _Found(str(found.version), str(found.source), found.tags.get(CARD_DIGEST)) if found else None


def _asked(mlflow: "MlflowClient", name: str, ref: str) -> "ModelVersion | None":
    if ref == LATEST:
        every = mlflow.search_model_versions(f"name = '{name}'", max_results=1, order_by=["version_number DESC"])
        return every[0] if every else None
    return mlflow.get_model_version(name, ref) if ref.isdigit() else mlflow.get_model_version_by_alias(name, ref)


def _missing(settings: Settings, name: str, ref: str) -> MissingInputError:
    known = {CHAMPION: "has no champion", CHALLENGER: "has no challenger", LATEST: "has no model in the registry"}
    if ref in known:
        next_step = "train" if ref == LATEST else "promote"
        return MissingInputError(f"pipeline '{name}' {known[ref]}. Run: contrail {next_step} --pipeline {name}")
    there = ", ".join(one.version for one in versions(settings, name)) or "none"
    return MissingInputError(
        f"pipeline '{name}' has no model version {ref}: nobody registered it, or somebody deleted it in MLflow. "
        f"Versions: {there}. Name one of them, or train another: contrail train --pipeline {name}"
    )

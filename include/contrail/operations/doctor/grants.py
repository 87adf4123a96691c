"""Which services and permissions an environment needs, with the role that Terraform grants for each.

Pure. Asking Google belongs to ``project``. Sources, read on 2026-11-26: Google Cloud, "IAM roles and permissions index",
pages of Dataproc, Vertex AI, BigQuery, BigLake, Cloud Logging, Service Usage, Cloud Storage.
"""

from dataclasses import dataclass

from contrail.config.settings import Settings
from contrail.operations.doctor.environment import remote_targets

_BIGLAKE = "biglake.googleapis.com"


@dataclass(frozen=True)
class Grant:
    """A role, and those of its permissions that Contrail uses."""

    role: str
    permissions: tuple[str, ...]


BUCKET = Grant(
    "roles/storage.objectUser", tuple(f"storage.objects.{verb}" for verb in ("get", "list", "create", "delete"))
)
_DATAPROC = Grant(
    "roles/dataproc.serverlessEditor",
    ("dataproc.batches.cancel", "dataproc.batches.create", "dataproc.batches.get", "dataproc.batches.list",
     "dataproc.operations.cancel", "dataproc.operations.get"),
)  # fmt: skip
_VERTEX = Grant(
    "projects/{project}/roles/contrailVertexSubmitter",
    tuple(f"aiplatform.customJobs.{verb}" for verb in ("cancel", "create", "get", "list")),
)
_CATALOG = Grant(
    "roles/biglake.editor",
    ("biglake.catalogs.get", "biglake.namespaces.create", "biglake.namespaces.get", "biglake.namespaces.list",
     "biglake.tables.create", "biglake.tables.get", "biglake.tables.list", "biglake.tables.update"),
)  # fmt: skip
_CALLER = Grant("roles/serviceusage.serviceUsageConsumer", ("serviceusage.services.use",))
_QUERIES = Grant("roles/bigquery.jobUser", ("bigquery.jobs.create",))
_LOGS = Grant("roles/logging.logWriter", ("logging.logEntries.create",))


def _kinds(current: Settings) -> set[str]:
    return {target.kind for target in remote_targets(current).values()}


def _is_biglake(current: Settings) -> bool:
    return "header.x-goog-user-project" in current.catalog.properties


def services_of(current: Settings) -> list[str]:
    """The services of Google Cloud that this environment calls, and those that this command asks."""
    kinds = _kinds(current)
    vertex = [one for one in remote_targets(current).values() if one.kind == "vertex"]
    needed = {
        "cloudresourcemanager": True,
        "iam": bool(kinds),
        "serviceusage": True,
        "storage": bool(buckets_of(current)),
        "bigquery": current.analysts is not None,
        "biglake": _is_biglake(current),
        "logging": current.cloud_log is not None,
        "artifactregistry": bool(kinds),
        "compute": bool(kinds),
        "dataproc": "dataproc" in kinds,
        "dataprocrm": "dataproc" in kinds,  # runtimes since 3.0 get their nodes by it
        "aiplatform": "vertex" in kinds,
        "servicenetworking": any(one.network for one in vertex),
    }
    return [f"{name}.googleapis.com" for name, wanted in needed.items() if wanted]


def project_grants(current: Settings) -> tuple[Grant, ...]:
    """What the submitter's account needs on the project."""
    kinds = _kinds(current)
    needed = (
        (_DATAPROC, "dataproc" in kinds),
        (_VERTEX, "vertex" in kinds),
        (_CATALOG, _is_biglake(current)),
        (_CALLER, True),
        (_QUERIES, current.analysts is not None),
        (_LOGS, current.cloud_log is not None),
    )
    return tuple(grant for grant, wanted in needed if wanted)


def buckets_of(current: Settings) -> list[str]:
    """Every bucket of the environment. The submitter's account reads and writes all of them (``BUCKET``)."""
    uris = [
        current.landing_uri, current.refused_uri, current.staging_uri, current.catalog.warehouse_uri, current.reports_uri,
        current.data_versions_remote_uri, current.registry.artifact_uri,
        current.lineage_uri or "", current.dispatch.jobs_uri or "",
    ]  # fmt: skip
    return list(dict.fromkeys(_bucket(uri) for uri in uris if uri.startswith("gs://")))


def _bucket(uri: str) -> str:
    return uri.removeprefix("gs://").partition("/")[0]


def google_project_of(current: Settings) -> str | None:
    """The project that this environment is in; None for one that is not on Google Cloud."""
    projects = [target.project for target in remote_targets(current).values()]
    projects += [part.project for part in (current.analysts, current.cloud_log) if part is not None]
    return projects[0] if projects else None

"""Services that are not there: the catalog's database, MLflow, the remote of data versions."""

import os
from collections.abc import Callable

from tests.chaos.disturbed import Disturbance
from tests.loopback.storage import free_port

ENVIRONMENT = """
pipelines_path: "{project}/include/pipelines"
dags_path: "{project}/dags"
landing_uri: "{home}/landing"
staging_uri: "{home}/staging"
reports_uri: "{home}/reports"
refused_uri: "{home}/refused"
data_versions_remote_uri: "{versions_uri}"
catalog:
  type: sql
  uri: "{catalog_uri}"
  warehouse_uri: "file://{home}/lake/warehouse"
engine: {kind: sail}
registry:
  tracking_uri: "{registry_uri}"
  artifact_uri: "file://{home}/mlflow/artifacts"
"""
_NOWHERE = "nowhere.invalid"


def usual(home: str) -> dict[str, str]:
    """The variables of an environment with everything in its home."""
    return {
        "CONTRAIL_ENV": "elsewhere",
        "CONTRAIL_CATALOG_URI": f"sqlite:///{home}/lake/catalog.db",
        "CONTRAIL_REGISTRY_URI": f"sqlite:///{home}/mlflow/mlflow.db",
        "CONTRAIL_VERSIONS_URI": f"{home}/dvc-remote",
    }


def _elsewhere(variable: str, uri: str) -> Callable[[], None]:
    def change() -> None:
        os.environ[f"CONTRAIL_{variable}_URI"] = uri.format(port=free_port())
        # Of a store that is away, its client would ask for minutes.
        os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{free_port()}"
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "2"
        from tests.chaos.machine.store import quick_retries

        quick_retries()

    return change


FAULTS = tuple(
    Disturbance(f"{what}: {how}", _elsewhere(variable, uri))
    for what, variable, uris in (
        (
            "catalog",
            "CATALOG",
            {
                "nobody listens": "postgresql+psycopg2://contrail@127.0.0.1:{port}/iceberg",
                "no such name": f"postgresql+psycopg2://contrail@{_NOWHERE}/iceberg",
            },
        ),
        (
            "registry",
            "REGISTRY",
            {
                "no server listens": "http://127.0.0.1:{port}",
                "no such server": f"http://{_NOWHERE}",
                "no database listens": "postgresql+psycopg2://contrail@127.0.0.1:{port}/mlflow",
                "no such database": f"postgresql+psycopg2://contrail@{_NOWHERE}/mlflow",
            },
        ),
        ("versions", "VERSIONS", {"the store is away": "gs://lake/dvc", "no folder": "/proc/nowhere/dvc"}),
    )
    for how, uri in uris.items()
)

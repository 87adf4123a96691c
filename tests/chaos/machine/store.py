"""A home whose tables, landed files, reports and models lie in an object store, which fails."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from contrail.config.settings import CatalogSettings
from tests.chaos.arena import Arena
from tests.chaos.disturbed import Disturbance
from tests.chaos.machine.store_server import Plan

ENVIRONMENT = """
pipelines_path: "{project}/include/pipelines"
dags_path: "{project}/dags"
landing_uri: "gs://lake/landing"
staging_uri: "{home}/staging" # the emulator has not the interface by which the engine writes
reports_uri: "gs://lake/reports"
refused_uri: "gs://lake/refused"
data_versions_remote_uri: "gs://lake/dvc"
catalog:
  type: sql
  uri: "sqlite:///{home}/lake/catalog.db"
  warehouse_uri: "gs://lake/warehouse"
  properties: {py-io-impl: pyiceberg.io.fsspec.FsspecFileIO}
engine: {kind: sail}
registry:
  tracking_uri: "sqlite:///{home}/mlflow/mlflow.db"
  artifact_uri: "gs://lake/mlflow"
"""
_PLAN = "plan.json"
_READS, _WRITES = "GET|HEAD", "POST|PUT|PATCH"
_LISTINGS = r"/o(\?|$)"


@contextmanager
def store(arena: Arena) -> Iterator[None]:
    """Serve the store of an arena, whose objects lie in its home, and lead its commands there."""
    (arena.home / "storage" / "lake").mkdir(parents=True)
    account = arena.folder / "account.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.machine.store_server", arena.home / "storage", arena.folder / _PLAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"LD_PRELOAD": ""},
    )
    assert process.stdin
    assert process.stdout
    address = process.stdout.readline().strip()
    # The engine's own client of object stores takes a service's address from such a file alone.
    login = {
        "gcs_base_url": address,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    account.write_text(json.dumps(login))
    os.environ |= {
        "CONTRAIL_ENV": "elsewhere",
        "STORAGE_EMULATOR_HOST": address,
        "GOOGLE_CLOUD_PROJECT": "demo-project",
        "GOOGLE_SERVICE_ACCOUNT": str(account),
        "GOOGLE_ALLOW_HTTP": "true",
    }
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


def catalog_in_store(database: Path) -> CatalogSettings:
    """A catalog in a file of SQLite, whose tables lie in the bucket ``lake`` of a store."""
    return CatalogSettings(
        type="sql",
        uri=f"sqlite:///{database}",
        warehouse_uri="gs://lake/warehouse",
        properties={"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"},
    )


def quick_retries() -> None:
    """Let the store's client wait a twentieth of what it waits between its tries."""
    import asyncio
    from types import SimpleNamespace

    import gcsfs.retry

    gcsfs.retry.asyncio = SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / 20))


def _planned(plan: Plan) -> Callable[[Arena], AbstractContextManager[None]]:
    @contextmanager
    def around(arena: Arena) -> Iterator[None]:
        plan.save(arena.folder / _PLAN)
        try:
            yield
        finally:
            (arena.folder / _PLAN).unlink()

    return around


def _fault(how: str, plan: Plan) -> Disturbance:
    ends = frozenset({75, 3}) if plan.how == "stale" else frozenset({75})
    return Disturbance(how, quick_retries, _planned(plan), ends)


def _for_good(code: int, methods: str, what: str, *skips: int) -> list[Disturbance]:
    return [_fault(f"{code} to {what} after {skip}", Plan("status", methods, skip=skip, code=code)) for skip in skips]


FAULTS = (
    *(_fault(f"{code} three times", Plan("status", skip=40, times=3, code=code)) for code in (503, 429, 500, 502, 408)),
    *_for_good(503, ".*", "all", 0, 5, 40, 150, 400),
    *_for_good(503, _WRITES, "writes", 0, 5, 20, 60),
    *_for_good(429, ".*", "all", 20, 200),
    *_for_good(500, _READS, "reads", 30, 100),
    *_for_good(403, _WRITES, "writes", 10),
    *(
        _fault(f"answers cut {n} times after {s}", Plan("cut answer", _READS, skip=s, times=n))
        for n, s in ((3, 30), (0, 30), (0, 150))
    ),
    *(
        _fault(f"uploads cut {n} times after {s}", Plan("cut upload", _WRITES, skip=s, times=n))
        for n, s in ((3, 10), (0, 10), (0, 40))
    ),
    _fault("0.1 s for each answer", Plan("slow", seconds=0.1)),
    *(_fault(f"listings without the last {s} s", Plan("stale", "GET", seconds=s)) for s in (2, 30, 100_000)),
)

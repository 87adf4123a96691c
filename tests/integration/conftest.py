"""Fixtures of the tests that need servers."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.loopback.bigquery import BigQueryServer
from tests.servers import Servers


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Skips when there are no servers, or fails where CONTRAIL_TEST_SERVERS=required says that there must be."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # Debian keeps them out of PATH
    if not found or shutil.which("redis-server") is None:
        reason = "no Postgres or Redis server (Debian: apt-get install postgresql redis-server)"
        (pytest.fail if os.environ.get("CONTRAIL_TEST_SERVERS") == "required" else pytest.skip)(reason)
    # Not pytest's own folder, which only its owner may enter: Postgres is another user.
    with tempfile.TemporaryDirectory(prefix="contrail-servers-") as folder:
        started = Servers(Path(folder))
        with started.running(found[-1].parent):
            yield started


@pytest.fixture(scope="module")
def bigquery_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    """BigQuery's emulator, with a storage of its own."""
    folder = tmp_path_factory.mktemp("bigquery")
    started = BigQueryServer(folder, folder / "storage")
    yield started
    started.stop()

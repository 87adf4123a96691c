"""Fixtures of the tests that need servers."""

import os
from collections.abc import Iterator

import pytest
from tests.loopback.bigquery import BigQueryServer
from tests.servers import MISSING, Servers, programs, served


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Skips when there are no servers, or fails where CONTRAIL_TEST_SERVERS=required says that there must be."""
    if programs() is None:
        (pytest.fail if os.environ.get("CONTRAIL_TEST_SERVERS") == "required" else pytest.skip)(MISSING)
    with served() as started:
        yield started


@pytest.fixture(scope="module")
def bigquery_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    """BigQuery's emulator, with a storage of its own."""
    folder = tmp_path_factory.mktemp("bigquery")
    started = BigQueryServer(folder, folder / "storage")
    yield started
    started.stop()

"""Tokens end during a long job: the clients of ``prod`` take new ones, and no request fails.

Google's token lives for an hour. Here a client takes one for expired after a second, and the services refuse it after
two. The clients are the real ones; see tests/loopback.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import google.auth
import pytest
import requests
import yaml
from google.cloud import storage
from tests.loopback.catalog import RestCatalogServer
from tests.loopback.identity import PROJECT, Identity
from tests.loopback.storage import StorageServer
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows
from upath import UPath

from contrail.config.settings import CatalogSettings, settings
from contrail.lake.lake import Lake

FRESH = 1.0
PROD = Path(__file__).resolve().parents[2] / "include" / "environments" / "prod.yaml"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageServer]:
    """Cloud Storage that serves nobody without a token, with the bucket ``lake``."""
    started = StorageServer(tmp_path / "storage", locked=True)
    (tmp_path / "storage" / "lake").mkdir()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", started.address)
    yield started
    started.stop()


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    started = Identity(tmp_path, fresh=FRESH)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(started.key_file))
    yield started
    started.stop()


def until_the_token_has_ended(identity: Identity, address: str) -> None:
    """Wait, and see that the last token opens nothing any more."""
    time.sleep(FRESH + 1.1)
    token = {"Authorization": f"Bearer {identity.issued[-1]}"}
    assert requests.get(address, headers=token, timeout=10).status_code == 401
    identity.issued.clear()


def test_the_lake_goes_on_with_new_tokens(home: Path, tmp_path: Path, store: StorageServer, identity: Identity) -> None:
    catalog = RestCatalogServer(tmp_path, f"file://{tmp_path}/lake")
    properties = {
        **yaml.safe_load(PROD.read_text())["catalog"]["properties"],
        "header.x-goog-user-project": PROJECT,
    }
    own = CatalogSettings(
        type="rest", uri=catalog.address, warehouse_uri=f"file://{tmp_path}/lake", properties=properties
    )
    lake = Lake(settings().model_copy(update={"catalog": own}), "shop")
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    until_the_token_has_ended(identity, f"{catalog.address}/v1/config?warehouse=x")
    lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))
    assert lake.scan("items").num_rows == 6
    assert identity.issued
    catalog.stop()


def test_files_are_read_and_written_with_new_tokens(store: StorageServer, identity: Identity) -> None:
    folder = UPath("gs://lake/somewhere", skip_instance_cache=True)
    (folder / "one").write_text("1")
    until_the_token_has_ended(identity, f"{store.address}/storage/v1/b/lake/o")
    (folder / "two").write_text("2")
    folder.fs.invalidate_cache()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"one": "1", "two": "2"}
    assert identity.issued


def test_googles_own_client_goes_on_with_new_tokens(store: StorageServer, identity: Identity) -> None:
    """MLflow keeps its artifacts by it. Without an emulator it finds these credentials by itself."""
    credentials, _ = google.auth.default(scopes=storage.Client.SCOPE)
    bucket = storage.Client(PROJECT, credentials=credentials).bucket("lake")
    bucket.blob("one").upload_from_string("1")
    until_the_token_has_ended(identity, f"{store.address}/storage/v1/b/lake/o")
    assert bucket.blob("one").download_as_text() == "1"
    assert identity.issued

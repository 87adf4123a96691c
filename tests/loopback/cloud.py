"""The loopback cloud: ``python -m tests.loopback.cloud FOLDER CERTIFICATES`` says when it is ready, and runs on.

Environment variables alone lead the clients there. Cloud Storage has its emulator variable. The gRPC services have a
proxy that sends ``*.googleapis.com`` to them. It refuses everything else, so no test reaches the outside.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import grpc

from contrail.config.settings import settings
from contrail.dispatch.payload import JOB_LABEL
from contrail_airflow.login.mlflow_rights import JOBS, ORCHESTRATOR
from tests.java import java_home
from tests.loopback.apis import HOSTS, Apis, Project
from tests.loopback.bigquery import BigQueryServer
from tests.loopback.catalog import RestCatalogServer
from tests.loopback.identity import PROJECT, Identity, certificates
from tests.loopback.refusals import no_quota
from tests.loopback.registry import RegistryServer
from tests.loopback.storage import StorageServer, free_port

REGION = "europe-west1"
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/contrail/job:test"
BATCHES_HELD, TRAININGS_HELD = "batches-held", "trainings-held"
BUCKETS = ("landing", "lake", "artifacts", "scratch")
DATASETS = ("contrail", "contrail_analysts")
_CHECKOUT = Path(__file__).resolve().parents[2]
_BOOTSTRAP = _CHECKOUT / "include" / "contrail" / "dispatch" / "bootstrap.py"
_OURS = re.compile(rb"([a-z0-9-]+-(dataproc|aiplatform)|secretmanager)\.googleapis\.com:443")


class LoopbackCloud:
    """The cloud as a process of its own; ``environment`` leads a client there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.project = Project(folder)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(folder), str(certificates())],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise RuntimeError(f"the loopback cloud did not start (exit status {self._process.wait()})")
        self.environment: dict[str, str] = json.loads(said)

    def batches_held(self) -> AbstractContextManager[None]:
        """Dataproc makes the batches that it is asked for; before the end of the block it does not say so, nor start them."""
        return self._held(BATCHES_HELD)

    def trainings_held(self) -> AbstractContextManager[None]:
        """Vertex AI has no machine for the custom jobs that it is asked for before the end of the block."""
        return self._held(TRAININGS_HELD)

    def without_quota(self, machine_type: str, *, spot: bool) -> AbstractContextManager[None]:
        """Vertex AI keeps custom jobs on such a machine queued until the end of the block."""
        return self._held(no_quota(self.folder, machine_type, spot=spot).name)

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        held = self.folder / name
        held.touch()
        try:
            yield
        finally:
            held.unlink()

    def jobs(self) -> dict[str, str]:
        """The state of each batch and each custom job, by the name that its submitter gave it."""
        from google.cloud import aiplatform_v1, dataproc_v1

        parent = f"projects/{PROJECT}/locations/{REGION}"
        batches = dataproc_v1.BatchControllerClient(client_options=_service("dataproc")).list_batches(parent=parent)
        custom = aiplatform_v1.JobServiceClient(client_options=_service("aiplatform")).list_custom_jobs(parent=parent)
        return {
            **{batch.name.rsplit("/", 1)[1]: batch.state.name for batch in batches},
            **{job.labels[JOB_LABEL]: job.state.name for job in custom},
        }

    def stop(self) -> None:
        """End it with everything that it runs."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


def _service(name: str) -> dict[str, str]:
    return {"api_endpoint": f"{REGION}-{name}.googleapis.com:443"}


@contextmanager
def production(folder: Path, **variables: str) -> Iterator[LoopbackCloud]:
    """``CONTRAIL_ENV=prod`` on a cloud of its own, with further environment variables."""
    before = dict(os.environ)
    if java := java_home(folder):
        os.environ["JAVA_HOME"] = java
    cloud = LoopbackCloud(folder)
    os.environ.update(cloud.environment)
    os.environ.update(
        CONTRAIL_ENV="prod",
        CONTRAIL_HOME=str(folder / "home"),
        CONTRAIL_PROJECT=str(_CHECKOUT),
        **variables,
    )
    settings.cache_clear()
    try:
        yield cloud
    finally:
        cloud.stop()
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


class _Proxy:
    """A CONNECT proxy to the services alone: those that speak gRPC, and those that speak REST."""

    def __init__(self, services: int, apis: int) -> None:
        self._ports = {_OURS: services, HOSTS: apis}
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._server.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (part := client.recv(4096)):
            head += part
        verb, address = (*head.split(b" ", 2), b"", b"")[:2]
        ports = [port for ours, port in self._ports.items() if ours.fullmatch(address)]
        if verb != b"CONNECT" or not ports:
            client.sendall(b"HTTP/1.1 502 refused\r\n\r\n")
            client.close()
            return
        inside = socket.create_connection(("127.0.0.1", ports[0]))
        for end in (client, inside):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"HTTP/1.1 200 ok\r\n\r\n")
        threading.Thread(target=_pump, args=(client, inside), daemon=True).start()
        _pump(inside, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Run until the process is ended."""
    folder, signed = map(Path, sys.argv[1:])
    root = folder / "storage"
    store = StorageServer(root)
    bigquery = BigQueryServer(folder, root)
    mlflow = RegistryServer(folder)
    identity = Identity(folder)
    environment = {
        "STORAGE_EMULATOR_HOST": store.address,
        "BIGQUERY_EMULATOR_HOST": bigquery.address,
        "GOOGLE_APPLICATION_CREDENTIALS": str(identity.key_file),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
    }
    os.environ.update(environment)
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.bigquery import Client

    from tests.loopback.dataproc import Dataproc
    from tests.loopback.processes import Bucketeer
    from tests.loopback.secrets import Secrets
    from tests.loopback.services import handlers
    from tests.loopback.vertex import Vertex

    buckets = Bucketeer(PROJECT)
    for name in BUCKETS:
        buckets.client.create_bucket(name)
    for name in DATASETS:
        Client(PROJECT, credentials=AnonymousCredentials(), location=REGION).create_dataset(name)
    catalog = RestCatalogServer(folder, "gs://lake")
    pair = ((signed / "key").read_bytes(), (signed / "certificate").read_bytes())
    server = grpc.server(futures.ThreadPoolExecutor(32))
    services = free_port()
    dataproc = Dataproc(folder, root, buckets, folder / BATCHES_HELD)
    vertex = Vertex(folder, IMAGE, _BOOTSTRAP, folder / TRAININGS_HELD)
    kept = Secrets(PROJECT, {"contrail-mlflow-jobs": mlflow.passwords[JOBS]})
    server.add_generic_rpc_handlers(handlers(dataproc, vertex, kept))  # type: ignore[arg-type]
    server.add_secure_port(f"127.0.0.1:{services}", grpc.ssl_server_credentials([pair]))
    server.start()
    # How Google's clients are led here. Jobs ask for their secret in the same way.
    way = {
        "https_proxy": f"http://127.0.0.1:{_Proxy(services, Apis(folder, signed, PROJECT).port).port}",
        "no_proxy": "127.0.0.1,localhost",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(signed / "authority"),
        "REQUESTS_CA_BUNDLE": str(signed / "authority"),
    }
    os.environ.update(way)
    environment |= {
        **{f"CONTRAIL_{name.upper()}_BUCKET": name for name in BUCKETS},
        "CONTRAIL_GCP_PROJECT": PROJECT,
        "CONTRAIL_GCP_REGION": REGION,
        "CONTRAIL_CATALOG_URI": catalog.address,
        "CONTRAIL_MLFLOW_URI": mlflow.address,
        "MLFLOW_TRACKING_USERNAME": ORCHESTRATOR,  # of Airflow's workers: jobs have the secret
        "MLFLOW_TRACKING_PASSWORD": mlflow.passwords[ORCHESTRATOR],
        "CONTRAIL_JOB_IMAGE": IMAGE,
        "CONTRAIL_SUBNETWORK": f"projects/{PROJECT}/regions/{REGION}/subnetworks/jobs",
        "CONTRAIL_NETWORK": "projects/1/global/networks/contrail",
        "CONTRAIL_TEAM": "data-science",
        "CONTRAIL_COST_CENTRE": "cc-0000",
        "CONTRAIL_SPARK_ACCOUNT": f"spark-job@{PROJECT}.iam.gserviceaccount.com",
        "CONTRAIL_TRAIN_ACCOUNT": f"train-job@{PROJECT}.iam.gserviceaccount.com",
        **way,
    }
    print(json.dumps(environment), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()

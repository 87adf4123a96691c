"""Dataproc Serverless as a gRPC service that runs submitted batches with ``spark-submit``.

It checks requests where a mistake of ours could show.
"""

import re
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path

import grpc
from google.api_core.exceptions import NotFound
from google.cloud.dataproc_v1.types import batches
from google.cloud.dataproc_v1.types.shared import UsageMetrics
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from tests.loopback.processes import Bucketeer, Process
from tests.loopback.refusals import LABEL, RefusedError, invalid, labelled, not_running

State = batches.Batch.State
# Settings of the cluster's shape and of Google's own runtime: noted, not applied to one machine.
_OF_A_CLUSTER = ("spark.executor.", "spark.dynamicAllocation.", "spark.driver.", "spark.dataproc.", "dataproc.")
_MAX_REQUEST_ID = 40


class Dataproc:
    """``BatchController`` and ``Operations``."""

    def __init__(self, folder: Path, storage_root: Path, buckets: Bucketeer, held: Path) -> None:
        self.folder, self.storage_root, self.buckets, self.held = folder, storage_root, buckets, held
        self.batches: dict[str, batches.Batch] = {}
        self.processes: dict[str, Process] = {}
        self._lock = threading.RLock()

    def create(self, request: batches.CreateBatchRequest) -> operations_pb2.Operation:
        self._check(request)
        # Airflow's hook says regions/ here and locations/ when it asks for the batch.
        parent = request.parent.replace("/regions/", "/locations/")
        name = f"{parent}/batches/{request.batch_id}"
        with self._lock:
            if name in self.batches:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: Batch {name}")
            batch = batches.Batch(request.batch)
            batch.name, batch.uuid, batch.create_time = name, str(uuid.uuid4()), datetime.now(UTC)
            batch.operation = f"{parent.replace('locations', 'regions')}/operations/{uuid.uuid4()}"
            bucket = batch.environment_config.execution_config.staging_bucket or "dataproc-staging"
            batch.runtime_info.output_uri = f"gs://{bucket}/google-cloud-dataproc-metainfo/{batch.uuid}/driveroutput"
            batch.state = State.PENDING
            self.batches[name] = batch
            self.processes[name] = Process(lambda process: self._work(batch, process))
        self._wait_while_held()
        return self._operation(batch)

    def _wait_while_held(self) -> None:
        while self.held.exists():
            time.sleep(0.1)

    def _check(self, request: batches.CreateBatchRequest) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]", request.batch_id):
            raise invalid(f"batch_id {request.batch_id!r} must be 4-63 of /[a-z][0-9]-/")
        if len(request.request_id) > _MAX_REQUEST_ID:
            raise invalid(f"request_id {request.request_id!r} has more than {_MAX_REQUEST_ID} characters")
        if not re.fullmatch(r"projects/[^/]+/(regions|locations)/[^/]+", request.parent):
            raise invalid(f"bad parent {request.parent}")
        if bad := [v for v in request.batch.labels.values() if not LABEL.fullmatch(v)]:
            raise invalid(f"label values {bad} are not allowed")
        for name in request.batch.runtime_config.properties:
            if not re.match(r"(spark|dataproc)\.", name) or name in ("spark.master", "spark.submit.deployMode"):
                raise invalid(f"unsupported property {name}")

    def _work(self, batch: batches.Batch, process: Process) -> None:
        folder = self.folder / "batches" / batch.name.rsplit("/", 1)[1]
        folder.mkdir(parents=True)
        log = folder / "driveroutput"
        self._wait_while_held()
        batch.state = State.RUNNING
        ttl = batch.environment_config.execution_config.ttl
        try:
            main = self.buckets.fetch(batch.pyspark_batch.main_python_file_uri, folder)
            command = [*self._spark_submit(batch), str(main), *batch.pyspark_batch.args]
            variables = {"PYSPARK_PYTHON": sys.executable}
            code = process.run(command, folder, variables, log, ttl.total_seconds() if ttl else None)
        except NotFound as error:
            self._end(batch, State.FAILED, f"File not found: {error.message}")
            return
        self.buckets.put(log, batch.runtime_info.output_uri + ".000000000")
        if process.cancelled:
            self._end(batch, State.CANCELLED, "cancelled by user")
        elif code:
            self._end(batch, State.FAILED, f"driver exited with code {code}")
        else:
            self._end(batch, State.SUCCEEDED, "")

    def _spark_submit(self, batch: batches.Batch) -> list[str]:
        view, raw = (
            "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
            "org.apache.hadoop.fs.RawLocalFileSystem",
        )
        settings = {
            "spark.ui.enabled": "false",
            "spark.hadoop.fs.gs.impl": view,
            "spark.hadoop.fs.viewfs.overload.scheme.target.file.impl": raw,
            "spark.hadoop.fs.file.impl": raw,
        }
        for bucket in self.buckets.client.list_buckets():
            link = f"spark.hadoop.fs.viewfs.mounttable.{bucket.name}.linkFallback"
            settings[link] = f"file://{self.storage_root}/{bucket.name}/"
        for name, value in batch.runtime_config.properties.items():
            if not name.startswith(_OF_A_CLUSTER):
                settings[name] = value
        command = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[2]", "--driver-memory", "1g"]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        return command

    def _end(self, batch: batches.Batch, state: State, message: str) -> None:
        with self._lock:
            batch.state_message = message
            batch.state_time = datetime.now(UTC)
            # As the service does for a batch that ran at all: the size that it starts with, for as long as it was there.
            seconds = max(60, (batch.state_time - batch.create_time).total_seconds())
            nodes = 1 + int(batch.runtime_config.properties.get("spark.executor.instances", 2))
            batch.runtime_info.approximate_usage = UsageMetrics(
                milli_dcu_seconds=round(nodes * 4_000 * seconds),
                shuffle_storage_gb_seconds=round(nodes * 400 * seconds),
            )
            batch.state = state

    def _operation(self, batch: batches.Batch) -> operations_pb2.Operation:
        done = batch.state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        found = operations_pb2.Operation(name=batch.operation, done=done)
        metadata = batches.Batch.pb(batch)
        if batch.state == State.SUCCEEDED:
            found.response.Pack(metadata)
        elif done:
            found.error.CopyFrom(status_pb2.Status(code=10, message=batch.state_message))
        return found

    def get(self, request: batches.GetBatchRequest) -> batches.Batch:
        if request.name not in self.batches:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Not found: Batch {request.name}")
        return self.batches[request.name]

    def list(self, request: batches.ListBatchesRequest) -> batches.ListBatchesResponse:
        parent = request.parent.replace("/regions/", "/locations/")
        found = [batch for name, batch in self.batches.items() if name.startswith(parent)]
        return batches.ListBatchesResponse(batches=labelled(found, request.filter))

    def _of(self, operation: str) -> batches.Batch:
        found = next((b for b in self.batches.values() if b.operation == operation), None)
        if found is None:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, operation)
        return found

    def get_operation(self, request: operations_pb2.GetOperationRequest) -> operations_pb2.Operation:
        return self._operation(self._of(request.name))

    def cancel_operation(self, request: operations_pb2.CancelOperationRequest) -> empty_pb2.Empty:
        batch = self._of(request.name)
        if batch.state not in (State.PENDING, State.RUNNING):
            raise not_running(batch.name)
        batch.state = State.CANCELLING
        self.processes[batch.name].cancel()
        return empty_pb2.Empty()

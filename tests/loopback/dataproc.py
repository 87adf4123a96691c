"""Dataproc Serverless as a gRPC service that runs submitted batches with ``spark-submit``, as runtime 3.0 does.

That runtime has no staging bucket, so a driver's output is in Cloud Logging alone: here, in the service's own folder.
"""

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

from tests.loopback.batch_checks import check_batch
from tests.loopback.processes import Bucketeer, Process
from tests.loopback.refusals import RefusedError, labelled, not_running

State = batches.Batch.State
# Settings of the cluster's shape and of Google's own runtime: noted, not applied to one machine.
_OF_A_CLUSTER = ("spark.executor.", "spark.dynamicAllocation.", "spark.driver.", "spark.dataproc.", "dataproc.")


def _enter(batch: batches.Batch, state: State, message: str = "") -> None:
    """The next state of a batch. The one before goes to its history."""
    if batch.state:
        before = batches.Batch.StateHistory(state=batch.state, state_start_time=batch.state_time)
        batch.state_history.append(before)
    batch.state_message, batch.state_time = message, datetime.now(UTC)
    batch.state = state  # last: a reader that sees the state sees its time too


class Dataproc:
    """``BatchController`` and ``Operations``."""

    def __init__(self, folder: Path, storage_root: Path, buckets: Bucketeer, held: Path) -> None:
        self.folder, self.storage_root, self.buckets, self.held = folder, storage_root, buckets, held
        self.batches: dict[str, batches.Batch] = {}
        self.processes: dict[str, Process] = {}
        self._lock = threading.RLock()

    def create(self, request: batches.CreateBatchRequest) -> operations_pb2.Operation:
        check_batch(request)
        # Airflow's hook says regions/ here and locations/ when it asks for the batch.
        parent = request.parent.replace("/regions/", "/locations/")
        name = f"{parent}/batches/{request.batch_id}"
        with self._lock:
            if name in self.batches:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Already exists: Batch {name}")
            batch = batches.Batch(request.batch)
            batch.name, batch.uuid, batch.create_time = name, str(uuid.uuid4()), datetime.now(UTC)
            batch.operation = f"{parent.replace('locations', 'regions')}/operations/{uuid.uuid4()}"
            _enter(batch, State.PENDING)
            self.batches[name] = batch
            self.processes[name] = Process(lambda process: self._work(batch, process))
        self._wait_while_held()
        return self._operation(batch)

    def _wait_while_held(self) -> None:
        while self.held.exists():
            time.sleep(0.1)

    def _work(self, batch: batches.Batch, process: Process) -> None:
        folder = self.folder / "batches" / batch.name.rsplit("/", 1)[1]
        folder.mkdir(parents=True)
        log = folder / "driveroutput"
        self._wait_while_held()
        _enter(batch, State.RUNNING)
        ttl = batch.environment_config.execution_config.ttl
        try:
            main = self.buckets.fetch(batch.pyspark_batch.main_python_file_uri, folder)
            command = [*self._spark_submit(batch), str(main), *batch.pyspark_batch.args]
            variables = {"PYSPARK_PYTHON": sys.executable}
            code = process.run(command, folder, variables, log, ttl.total_seconds() if ttl else None)
        except NotFound as error:
            self._end(batch, State.FAILED, f"File not found: {error.message}")
            return
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
            # As the service does for a batch that ran at all: the size that it starts with, for as long as it was there.
            seconds = max(60, (datetime.now(UTC) - batch.create_time).total_seconds())
            nodes = 1 + int(batch.runtime_config.properties.get("spark.executor.instances", 2))
            batch.runtime_info.approximate_usage = UsageMetrics(
                milli_dcu_seconds=round(nodes * 4_000 * seconds),
                shuffle_storage_gb_seconds=round(nodes * 400 * seconds),
            )
            _enter(batch, state, message)

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
        _enter(batch, State.CANCELLING)
        self.processes[batch.name].cancel()
        return empty_pb2.Empty()

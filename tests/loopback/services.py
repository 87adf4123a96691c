"""The methods of Dataproc and Vertex AI, as a gRPC server takes them."""

from typing import Any

import grpc
from google.cloud.aiplatform_v1.types import custom_job, job_service
from google.cloud.dataproc_v1.types import batches
from google.cloud.secretmanager_v1.types import service as secrets
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from tests.loopback.dataproc import Dataproc
from tests.loopback.refusals import RefusedError
from tests.loopback.secrets import Secrets
from tests.loopback.vertex import Vertex


def handlers(dataproc: Dataproc, vertex: Vertex, kept: Secrets) -> list[grpc.GenericRpcHandler]:
    """The four services for a gRPC server."""
    operation, empty = operations_pb2.Operation.SerializeToString, empty_pb2.Empty.SerializeToString

    def of(type_: Any) -> Any:
        return type_.deserialize, None

    def method(call: Any, request: Any, answer: Any) -> Any:
        read = request.deserialize if hasattr(request, "deserialize") else request.FromString
        return grpc.unary_unary_rpc_method_handler(
            _answering(call), request_deserializer=read, response_serializer=answer
        )

    controller = {
        "CreateBatch": method(dataproc.create, batches.CreateBatchRequest, operation),
        "GetBatch": method(dataproc.get, batches.GetBatchRequest, batches.Batch.serialize),
        "ListBatches": method(dataproc.list, batches.ListBatchesRequest, batches.ListBatchesResponse.serialize),
    }
    operations = {
        "GetOperation": method(dataproc.get_operation, operations_pb2.GetOperationRequest, operation),
        "CancelOperation": method(dataproc.cancel_operation, operations_pb2.CancelOperationRequest, empty),
    }
    own = custom_job.CustomJob.serialize
    jobs = {
        "CreateCustomJob": method(vertex.create, job_service.CreateCustomJobRequest, own),
        "GetCustomJob": method(vertex.get, job_service.GetCustomJobRequest, own),
        "ListCustomJobs": method(
            vertex.list, job_service.ListCustomJobsRequest, job_service.ListCustomJobsResponse.serialize
        ),
        "CancelCustomJob": method(vertex.cancel, job_service.CancelCustomJobRequest, empty),
    }
    read, version = secrets.AccessSecretVersionRequest, secrets.AccessSecretVersionResponse.serialize
    named = {
        "google.cloud.secretmanager.v1.SecretManagerService": {"AccessSecretVersion": method(kept.read, read, version)},
        "google.cloud.dataproc.v1.BatchController": controller,
        "google.longrunning.Operations": operations,
        "google.cloud.aiplatform.v1.JobService": jobs,
    }
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in named.items()]


def _answering(call: Any) -> Any:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        bearer = dict(context.invocation_metadata()).get("authorization", "")
        # A token of the token server, or one that the account signed itself: Google's clients use either.
        if not str(bearer).startswith("Bearer "):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no bearer token")
        try:
            return call(request)
        except RefusedError as refused:
            context.abort(refused.code, str(refused))

    return answer

"""Secret Manager: the newest version of a secret, as its gRPC service gives it out."""

import re

import google_crc32c
import grpc
from google.cloud.secretmanager_v1.types import AccessSecretVersionRequest, AccessSecretVersionResponse, SecretPayload

from tests.loopback.refusals import RefusedError, invalid

_NAME = re.compile(r"projects/([a-z0-9-]+)/secrets/([A-Za-z0-9_-]{1,255})/versions/(latest|[0-9]+)")


class Secrets:
    """The secrets of one project, with one version each."""

    def __init__(self, project: str, values: dict[str, str]) -> None:
        self._project = project
        self._values = values

    def read(self, request: AccessSecretVersionRequest) -> AccessSecretVersionResponse:
        """AccessSecretVersion."""
        named = _NAME.fullmatch(request.name)
        if not named:
            raise invalid(f"The provided SecretVersion ID [{request.name}] is not valid")
        project, name, version = named.groups()
        if project != self._project:
            raise RefusedError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"Permission 'secretmanager.versions.access' denied for resource '{request.name}' (or it may not exist).",
            )
        if name not in self._values or version not in ("latest", "1"):
            secret = f"projects/{project}/secrets/{name}"
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Secret [{secret}] not found or has no versions.")
        data = self._values[name].encode()
        payload = SecretPayload(data=data, data_crc32c=int.from_bytes(google_crc32c.Checksum(data).digest(), "big"))
        return AccessSecretVersionResponse(name=f"projects/{project}/secrets/{name}/versions/1", payload=payload)

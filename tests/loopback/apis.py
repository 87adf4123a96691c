"""The REST services of a project that are asked and not used: what is enabled, who may do what, quotas, networks, images.

They answer as Google documents it: no bearer token, 401; a service that is off, 403 with SERVICE_DISABLED; a permission that
a kind of resource does not have, 400. Whatever would change something is refused, so a caller that writes is found.
"""

import hashlib
import json
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from contrail.revision import lock_hash
from tests.loopback.server import QuietHandler, QuietServer

_CHECKOUT = Path(__file__).resolve().parents[2]
HOSTS = re.compile(
    rb"((cloudresourcemanager|serviceusage|iam|iamcredentials|artifactregistry|compute)\.googleapis\.com|[a-z0-9-]+-docker\.pkg\.dev):443"
)
PERMISSIONS = {
    "project": (
        "dataproc.batches.cancel", "dataproc.batches.create", "dataproc.batches.get", "dataproc.batches.list",
        "dataproc.operations.cancel", "dataproc.operations.get", "aiplatform.customJobs.cancel",
        "aiplatform.customJobs.create", "aiplatform.customJobs.get", "aiplatform.customJobs.list", "bigquery.jobs.create",
        "biglake.catalogs.get", "biglake.namespaces.create", "biglake.namespaces.get", "biglake.namespaces.list",
        "biglake.tables.create", "biglake.tables.get", "biglake.tables.list", "biglake.tables.update",
        "serviceusage.services.use", "logging.logEntries.create",
    ),
    "bucket": tuple(f"storage.objects.{verb}" for verb in ("get", "list", "create", "delete")),
    "account": ("iam.serviceAccounts.actAs",),
    "repository": ("artifactregistry.repositories.downloadArtifacts",),
}  # fmt: skip


class Project:
    """What the project has: as it should be, but for what a file in ``folder`` says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.file, self.asked = folder / "project.json", folder / "asked.txt"

    def state(self, key: str, usual: Any) -> Any:
        """One part of it."""
        return json.loads(self.file.read_text()).get(key, usual) if self.file.exists() else usual

    @contextmanager
    def planted(self, **faults: Any) -> Iterator[None]:
        """Faults until the end of the block."""
        self.file.write_text(json.dumps(faults))
        try:
            yield
        finally:
            self.file.unlink()

    def held(self, kind: str, name: str, wanted: list[str]) -> tuple[int, Any]:
        """The answer of ``testIamPermissions``: those that the caller has. ``denied`` has pairs of resource and permission."""
        if f"{kind}/{name}" in self.state("gone", []):
            return _error(404, f"{name} not found")
        if unknown := [one for one in wanted if one not in PERMISSIONS[kind]]:
            return _error(400, f"Permission {unknown[0]} is not valid for this resource.")
        denied = [tuple(pair) for pair in self.state("denied", [])]
        found = [one for one in wanted if (name, one) not in denied]
        return 200, {"permissions": found} if found else {}


class Apis:
    """The services over TLS, until the process ends; ``port`` is for the proxy."""

    def __init__(self, folder: Path, signed: Path, project: str) -> None:
        handler: type[BaseHTTPRequestHandler] = type("Apis", (_Handler,), {"here": Project(folder), "project": project})
        self._server = QuietServer(handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed / "certificate", signed / "key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_port)


def _error(code: int, message: str, reason: str = "") -> tuple[int, Any]:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return code, {"error": {"code": code, "message": message, "details": details}}


class _Handler(QuietHandler):
    here: Project
    project: str
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host, asked = self.headers["Host"].partition(":")[0], urlsplit(self.path)
        with self.here.asked.open("a") as log:
            log.write(f"{self.command} {host}{asked.path}\n")
        code, values = self._answered(host, asked.path, parse_qs(asked.query), body)
        content = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answered(self, host: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            return _error(401, "Request is missing required authentication credential.")
        service = "artifactregistry.googleapis.com" if host.endswith(".pkg.dev") else host
        if service in self.here.state("off", []):
            return _error(403, f"{service} has not been used in project {self.project} before", "SERVICE_DISABLED")
        if service in self.here.state("silent", []):
            return _error(503, "The service is currently unavailable.")
        if service in self.here.state("closed", []):
            return _error(403, "Permission denied.", "IAM_PERMISSION_DENIED")
        for pattern, answer in self._routes().items():
            if found := re.fullmatch(pattern, f"{self.command} {host}{path}"):
                return answer(found, query, json.loads(body) if body else {})
        return _error(405 if self.command != "GET" else 404, f"not known here: {self.command} {host}{path}")

    def _routes(self) -> dict[str, Callable[[Any, Any, Any], tuple[int, Any]]]:
        p = self.project
        return {
            r"GET iamcredentials\.googleapis\.com/v1/projects/-/serviceAccounts/[^/]+/allowedLocations": self._anywhere,
            rf"POST cloudresourcemanager\.googleapis\.com/v3/projects/({p}):testIamPermissions": self._held("project"),
            rf"POST iam\.googleapis\.com/v1/projects/{p}/serviceAccounts/([^/]+):testIamPermissions": self._held(
                "account"
            ),
            rf"POST artifactregistry\.googleapis\.com/v1/projects/{p}/locations/[^/]+/repositories/([^/]+)"
            r":testIamPermissions": self._held("repository"),
            rf"GET serviceusage\.googleapis\.com/v1/projects/{p}/services:batchGet": self._services,
            rf"GET serviceusage\.googleapis\.com/v1beta1/projects/{p}/services/[^/]+/consumerQuotaMetrics/([^/]+)": self._quota,
            r"GET compute\.googleapis\.com/compute/v1/projects/[^/]+/regions/[^/]+/subnetworks/([^/]+)": self._subnetwork,
            r"GET compute\.googleapis\.com/compute/v1/projects/[^/]+/global/networks/([^/]+)": self._network,
            rf"GET compute\.googleapis\.com/compute/v1/projects/{p}/global/addresses": self._addresses,
            rf"GET [a-z0-9-]+\.pkg\.dev/v2/{p}/contrail/([^/]+)/manifests/([^/]+)": self._manifest,
            rf"GET [a-z0-9-]+\.pkg\.dev/v2/{p}/contrail/[^/]+/blobs/(sha256:[0-9a-f]+)": self._config,
        }

    def _held(self, kind: str) -> Callable[[Any, Any, Any], tuple[int, Any]]:
        return lambda found, _, body: self.here.held(kind, found[1], body["permissions"])

    def _anywhere(self, _: Any, __: Any, ___: Any) -> tuple[int, Any]:
        """Google's clients ask it beside each new token: the account is bound to no region."""
        return 200, {"locations": [], "encodedLocations": "0x0"}

    def _services(self, _: Any, query: dict[str, list[str]], __: Any) -> tuple[int, Any]:
        if len(query["names"]) > 30:
            return _error(400, "A single request can get a maximum of 30 services at a time.")
        off = self.here.state("off", [])
        states = {name: "DISABLED" if name.rpartition("/")[2] in off else "ENABLED" for name in query["names"]}
        return 200, {"services": [{"name": name, "state": state} for name, state in states.items()]}

    def _quota(self, found: Any, _: Any, __: Any) -> tuple[int, Any]:
        metric = unquote(found[1])
        limit = self.here.state("quotas", {}).get(metric.partition("/")[2], 24)
        region = {"region": self.here.state("quota_region", "europe-west1")}
        buckets = [{"effectiveLimit": "0"}, {"effectiveLimit": str(limit), "dimensions": region}]
        zones = {"unit": "1/{project}/{zone}", "quotaBuckets": [{"effectiveLimit": "-1"}]}
        regions = {"unit": "1/{project}/{region}", "quotaBuckets": buckets}
        return 200, {"metric": metric, "consumerQuotaLimits": [regions, zones]}

    def _subnetwork(self, found: Any, _: Any, __: Any) -> tuple[int, Any]:
        if f"subnetwork/{found[1]}" in self.here.state("gone", []):
            return _error(404, f"The resource '{found[1]}' was not found")
        return 200, {"name": found[1], "privateIpGoogleAccess": self.here.state("private_access", True)}

    def _network(self, found: Any, _: Any, __: Any) -> tuple[int, Any]:
        if f"network/{found[1]}" in self.here.state("gone", []):
            return _error(404, f"The resource '{found[1]}' was not found")
        state = self.here.state("peering", "ACTIVE")
        peerings = [{"name": "servicenetworking-googleapis-com", "state": state}] if state else []
        return 200, {"name": found[1], "peerings": peerings}

    def _addresses(self, _: Any, __: Any, ___: Any) -> tuple[int, Any]:
        network = f"https://www.googleapis.com/compute/v1/projects/{self.project}/global/networks/contrail"
        lent = {"purpose": "VPC_PEERING", "network": network, "prefixLength": self.here.state("prefix", 16)}
        other = {"purpose": "VPC_PEERING", "network": f"{network}-other", "prefixLength": 8}
        public = {"address": "192.0.2.1", "addressType": "EXTERNAL"}
        return 200, {"items": [public, other, *([lent] if lent["prefixLength"] else [])]}

    def _manifest(self, found: Any, _: Any, __: Any) -> tuple[int, Any]:
        """An index with one image, as BuildKit pushes it beside an attestation."""
        if f"image/{found[1]}" in self.here.state("gone", []):
            return 404, {
                "errors": [{"code": "MANIFEST_UNKNOWN", "message": f"Requested entity {found[2]} was not found."}]
            }
        if found[2].startswith("sha256:"):
            return 200, {"schemaVersion": 2, "config": {"digest": _digest(self._image())}}
        if "application/vnd.oci.image.index.v1+json" not in self.headers.get("Accept", ""):
            return 404, {
                "errors": [{"code": "MANIFEST_UNKNOWN", "message": "OCI index found, but Accept does not take it"}]
            }
        machine = self.here.state("architecture", "amd64")
        platforms = [{"os": "unknown", "architecture": "unknown"}, {"os": "linux", "architecture": machine}]
        return 200, {"manifests": [{"digest": _digest(one), "platform": one} for one in platforms]}

    def _config(self, found: Any, _: Any, __: Any) -> tuple[int, Any]:
        image = self._image()
        return (200, image) if found[1] == _digest(image) else _error(404, found[1])

    def _image(self) -> dict[str, Any]:
        usual = {"contrail.requirements.sha256": lock_hash(_CHECKOUT)}
        return {"os": "linux", "config": {"Labels": self.here.state("labels", usual)}}

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815


def _digest(values: Any) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(values).encode()).hexdigest()}"

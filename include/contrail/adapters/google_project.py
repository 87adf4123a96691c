"""What a Google Cloud project has: services, permissions, quotas, networks, images. It is all read, and nothing changed.

What a pipeline needs of it belongs to ``contrail.operations.doctor``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from contrail.adapters.google_api import GoogleApi
from contrail.errors import SpecError

UNLIMITED = -1
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
# serviceusage.services.batchGet: "a single request can get a maximum of 30 services at a time".
_SERVICES_A_CALL = 30


class NoImageError(SpecError):
    """A name is no image's, or the image is for another kind of machine."""


def disabled_services(api: GoogleApi, names: Sequence[str]) -> list[str]:
    """Those of some services that the project has not enabled."""
    found: dict[str, str] = {}
    for start in range(0, len(names), _SERVICES_A_CALL):
        wanted = [("names", f"projects/{api.project}/services/{name}") for name in names[start:][:_SERVICES_A_CALL]]
        url = f"https://serviceusage.googleapis.com/v1/projects/{api.project}/services:batchGet?{urlencode(wanted)}"
        found |= {one["name"].rsplit("/", 1)[1]: one.get("state", "") for one in api.get(url).get("services", [])}
    return [name for name in names if found.get(name) != "ENABLED"]


def lacking(api: GoogleApi, resource: str, permissions: Iterable[str]) -> list[str]:
    """Those of some permissions that the account does not have on a resource.

    Args:
        api: The account that is asked about.
        resource: The address of the resource, as in ``https://iam.googleapis.com/v1/projects/p/serviceAccounts/a``.
        permissions: Names of permissions.
    """
    wanted = list(permissions)
    held = api.post(f"{resource}:testIamPermissions", {"permissions": wanted}).get("permissions", [])
    return [one for one in wanted if one not in held]


def quota(api: GoogleApi, metric: str, region: str) -> int:
    """The limit of a quota in a region; ``UNLIMITED`` where it has none, and 0 where nothing was granted.

    Args:
        api: Its project has the quota.
        metric: For example ``compute.googleapis.com/cpus``.
        region: For example ``europe-west1``.
    """
    service = metric.partition("/")[0]
    parent = f"projects/{api.project}/services/{service}"
    url = f"https://serviceusage.googleapis.com/v1beta1/{parent}/consumerQuotaMetrics/{quote(metric, safe='')}"
    return limit_of(api.get(url), region)


def limit_of(metric: Mapping[str, Any], region: str) -> int:
    """The limit for a region in the answer of ``consumerQuotaMetrics``.

    A limit's buckets come from the least to the most specific. So the last one that fits decides. The smallest limit of a
    metric holds.
    """
    limits = []
    for limit in metric.get("consumerQuotaLimits", []):
        if "{zone}" in limit.get("unit", ""):
            continue
        fitting = [one for one in limit.get("quotaBuckets", []) if _fits(one.get("dimensions", {}), region)]
        if fitting:
            limits.append(int(fitting[-1].get("effectiveLimit", 0)))
    bounded = [one for one in limits if one != UNLIMITED]
    return min(bounded) if bounded else UNLIMITED if limits else 0


def _fits(dimensions: Mapping[str, str], region: str) -> bool:
    return dict(dimensions) in ({}, {"region": region})


def compute(api: GoogleApi, name: str) -> Mapping[str, Any]:
    """A resource of Compute Engine, as in ``projects/p/regions/r/subnetworks/s``."""
    found: Mapping[str, Any] = api.get(f"https://compute.googleapis.com/compute/v1/{name}")
    return found


def widest_range(api: GoogleApi, network: str) -> int | None:
    """The prefix length of the widest range that a network lends to Google's networks. None: it lends none."""
    found = compute(api, f"projects/{api.project}/global/addresses").get("items", [])
    lent = [one for one in found if one.get("purpose") == "VPC_PEERING" and one["network"].endswith(f"/{network}")]
    return min((int(one["prefixLength"]) for one in lent), default=None)


def image_labels(api: GoogleApi, image: str) -> Mapping[str, str]:
    """The labels of an image in Artifact Registry, read without pulling it.

    Source: Google Cloud, "Docker API" of Artifact Registry, and the OCI Distribution Specification 1.1.

    Raises:
        NoImageError: The name is no image's, or the image is not for Linux on amd64.
        MissingInputError: There is no such image.
    """
    host, _, rest = image.partition("/")
    name, separator, reference = rest.rpartition("@") if "@" in rest else rest.rpartition(":")
    if not (host.endswith(".pkg.dev") and separator and "/" in name):
        raise NoImageError(
            f"{image} is no image of Artifact Registry: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG"
        )
    folder = f"https://{host}/v2/{name}"
    manifest = api.get(f"{folder}/manifests/{reference}", {"Accept": _MANIFESTS})
    if "manifests" in manifest:
        fitting = [one for one in manifest["manifests"] if _is_ours(one.get("platform", {}))]
        if not fitting:
            raise NoImageError(f"{image} is not for linux/amd64, which Dataproc and Vertex AI run")
        manifest = api.get(f"{folder}/manifests/{fitting[0]['digest']}", {"Accept": _MANIFESTS})
    config = api.get(f"{folder}/blobs/{manifest['config']['digest']}")
    labels: Mapping[str, str] = config.get("config", {}).get("Labels") or {}
    return labels


def _is_ours(platform: Mapping[str, str]) -> bool:
    return (platform.get("os"), platform.get("architecture")) == ("linux", "amd64")

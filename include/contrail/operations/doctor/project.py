"""What the environment needs of its Google Cloud project: services, accounts, buckets, datasets, images, networks.

Each check makes one kind of call. Quotas belong to ``quotas``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from contrail.adapters import google_errors, google_project
from contrail.adapters.google_api import ForbiddenError, GoogleApi, ServiceOffError, is_off
from contrail.config.settings import AnalystsSettings, Settings
from contrail.config.targets import DataprocTarget, VertexTarget
from contrail.errors import EngineError, MissingInputError
from contrail.operations.doctor.environment import remote_targets
from contrail.operations.doctor.findings import Check, FaultError, NotCheckedError
from contrail.operations.doctor.grants import BUCKET, Grant, buckets_of, project_grants, services_of
from contrail.revision import code_revision, lock_hash

_SERVICE_CONNECTION = "servicenetworking-googleapis-com"
_REVISION_LABEL = "org.opencontainers.image.revision"
_UNKNOWN = "unknown"
# Vertex AI documents /16, /17 and /18, for 63, 31 and 15 jobs at once ("Set up VPC Network Peering", 2026-11).
_SMALLEST_RANGE = 18
LOCK_LABEL = "contrail.requirements.sha256"


def checks(current: Settings, api: GoogleApi) -> list[Check]:
    """The checks of the project, in the order in which a person mends what they find."""
    found = [
        Check("account", partial(account, api)),
        Check("services", asking(api, services, current, api)),
        Check("project", asking(api, held, api, project_grants(current))),
    ]
    for name in buckets_of(current):
        found.append(Check(f"bucket {name}", asking(api, bucket, api, name)))
    if analysts := current.analysts:
        for name in (analysts.dataset, analysts.views_dataset):
            found.append(Check(f"dataset {name}", asking(api, dataset, analysts, api, name)))
    return [*found, *_of_targets(current, api)]


def _of_targets(current: Settings, api: GoogleApi) -> list[Check]:
    targets, found = remote_targets(current).values(), []
    for email in dict.fromkeys(target.service_account for target in targets):
        short = email.partition("@")[0]
        found.append(Check(f"account {short}", asking(api, acting, api, email)))
        found.append(Check(f"rights of {short}", partial(job_account, current, email)))
    images = dict.fromkeys(target.image for target in targets)
    for name in dict.fromkeys(image.rpartition("/")[0] for image in images):
        found.append(Check("image repository", asking(api, repository, api, name)))
    for image in images:
        found.append(Check(f"image {image.rpartition('/')[2]}", asking(api, image_check, current, api, image)))
    for name in dict.fromkeys(target.subnetwork for target in targets if isinstance(target, DataprocTarget)):
        found.append(Check("subnetwork", asking(api, subnetwork, api, name)))
    networks = dict.fromkeys(target.network for target in targets if isinstance(target, VertexTarget))
    return [*found, *(Check("network", asking(api, network, api, name)) for name in networks if name)]


def asking(api: GoogleApi, check: Callable[..., str], *arguments: Any) -> Callable[[], str]:
    """A check that cannot be made without an account, or while its service is off. Both have checks of their own."""

    def checked() -> str:
        try:
            api.credentials()
        except Exception as error:
            raise NotCheckedError("this process has no account that works; see above") from error
        try:
            return check(*arguments)
        except ServiceOffError as error:
            raise NotCheckedError(f"a service is off, see above: {error}") from error
        except ForbiddenError as error:
            # Only reading for this check needs the right, and not the pipelines. An administrator has it.
            raise NotCheckedError(
                f"this account may not look; run contrail doctor as an administrator. {error}"
            ) from error

    return checked


def account(api: GoogleApi) -> str:
    """Whether this process has an account, and the account a token."""
    try:
        return api.member()
    except Exception as error:
        ours = google_errors.as_ours(error)
        login = "gcloud auth application-default login"
        raise FaultError(str(ours or error), login, again=isinstance(ours, EngineError)) from error


def services(current: Settings, api: GoogleApi) -> str:
    """Whether every service is enabled that this environment calls."""
    wanted = services_of(current)
    if off := google_project.disabled_services(api, wanted):
        command = f"gcloud services enable {' '.join(off)} --project={api.project}"
        raise FaultError(f"not enabled: {', '.join(off)}", command)
    return f"{len(wanted)} services are enabled"


def held(api: GoogleApi, grants: tuple[Grant, ...]) -> str:
    """Whether this account has on the project what each stage needs."""
    resource = f"https://cloudresourcemanager.googleapis.com/v3/projects/{api.project}"
    missing = google_project.lacking(api, resource, [one for grant in grants for one in grant.permissions])
    if missing:
        roles = [grant.role.format(project=api.project) for grant in grants if set(grant.permissions) & set(missing)]
        bind = f"gcloud projects add-iam-policy-binding {api.project} --member={api.member()} --condition=None"
        raise FaultError(_may_not(api, missing), *(f"{bind} --role={role}" for role in roles))
    return f"{api.member()} may do what stages ask of the project"


def _may_not(api: GoogleApi, missing: list[str]) -> str:
    return f"{api.member()} lacks {', '.join(missing)}"


def bucket(api: GoogleApi, name: str) -> str:
    """Whether a bucket is there, and this account may use its objects."""
    from google.api_core.exceptions import Forbidden, NotFound
    from google.cloud import storage  # type: ignore[attr-defined]

    client = storage.Client(api.project, credentials=api.credentials())
    try:
        found = client.bucket(name).test_iam_permissions(list(BUCKET.permissions), timeout=20)
    except NotFound as error:
        raise FaultError(f"there is no gs://{name}", google_errors.APPLY) from error
    except Forbidden as error:
        raise NotCheckedError(f"this account may not ask about gs://{name}: {error}") from error
    if missing := [one for one in BUCKET.permissions if one not in found]:
        bind = f"gcloud storage buckets add-iam-policy-binding gs://{name} --member={api.member()} --role={BUCKET.role}"
        raise FaultError(_may_not(api, missing), bind)
    return f"gs://{name}: {', '.join(one.rpartition('.')[2] for one in BUCKET.permissions)}"


def dataset(analysts: AnalystsSettings, api: GoogleApi, name: str) -> str:
    """Whether a dataset is there, and where this environment says. BigQuery cannot be asked who may write to a dataset."""
    from google.api_core.exceptions import Forbidden, NotFound
    from google.cloud import bigquery

    full = f"{analysts.project}.{name}"
    client = bigquery.Client(analysts.project, credentials=api.credentials())
    try:
        found = client.get_dataset(full, timeout=20)
    except NotFound as error:
        raise FaultError(f"there is no dataset {full}", google_errors.APPLY) from error
    except Forbidden as error:
        if is_off(error):
            raise ServiceOffError(str(error)) from error
        raise FaultError(f"{api.member()} may not read the dataset {full}", google_errors.APPLY) from error
    if found.location.lower() != analysts.location.lower():
        said = f"{full} is in {found.location}, the environment says {analysts.location}"
        raise FaultError(said, "terraform -chdir=terraform output environment")
    return f"{full} is in {found.location}; who may write there is not checked"


def acting(api: GoogleApi, email: str) -> str:
    """Whether this account may start jobs as a job's account."""
    name = f"projects/{api.project}/serviceAccounts/{email}"
    try:
        missing = google_project.lacking(api, f"https://iam.googleapis.com/v1/{name}", ["iam.serviceAccounts.actAs"])
    except MissingInputError as error:
        raise FaultError(f"there is no account {email}", google_errors.APPLY) from error
    if missing:
        bind = f"gcloud iam service-accounts add-iam-policy-binding {email} --project={api.project}"
        raise FaultError(_may_not(api, missing), f"{bind} --member={api.member()} --role=roles/iam.serviceAccountUser")
    return f"{api.member()} may start jobs as {email}"


def job_account(current: Settings, email: str) -> str:
    """What a job's own account may do is known to its jobs alone."""
    first = next(iter(buckets_of(current)), "")
    ask = "gcloud policy-intelligence troubleshoot-policy iam"
    resource = f"//storage.googleapis.com/projects/_/buckets/{first}"
    command = f"{ask} {resource} --principal-email={email} --permission=storage.objects.list"
    said = "only a job as this account shows what it may do; about one permission, an administrator can ask"
    raise NotCheckedError(said, command)


def repository(api: GoogleApi, name: str) -> str:
    """Whether this account may pull images, as the machine does that runs Airflow."""
    host, _, path = name.partition("/")
    location, (project, short, *_) = host.removesuffix("-docker.pkg.dev"), [*path.split("/"), ""]
    resource = f"projects/{project}/locations/{location}/repositories/{short}"
    pull = "artifactregistry.repositories.downloadArtifacts"
    try:
        missing = google_project.lacking(api, f"https://artifactregistry.googleapis.com/v1/{resource}", [pull])
    except MissingInputError as error:
        raise FaultError(f"there is no repository {name}", google_errors.APPLY) from error
    if missing:
        bind = f"gcloud artifacts repositories add-iam-policy-binding {short} --project={project} --location={location}"
        raise FaultError(_may_not(api, missing), f"{bind} --member={api.member()} --role=roles/artifactregistry.reader")
    return f"{api.member()} may pull from {name}"


def image_check(current: Settings, api: GoogleApi, image: str) -> str:
    """Whether the job image is there, and was built from the lock of this code."""
    revision = image.rpartition(":")[2]
    build = (
        f"docker build --platform linux/amd64 --target job --build-arg REVISION={revision} "
        f"--build-arg LOCK=$(sha256sum < requirements.txt | cut -c1-64) --tag {image} . && docker push {image}"
    )
    try:
        labels = google_project.image_labels(api, image)
    except MissingInputError as error:
        raise FaultError(f"there is no image {image}", build) from error
    except google_project.NoImageError as error:
        raise FaultError(str(error), build) from error
    built, wanted = labels.get(LOCK_LABEL, ""), lock_hash(current.project_path)
    if not built and labels.get(_REVISION_LABEL, _UNKNOWN) == code_revision(current.project_path) != _UNKNOWN:
        return f"{image} was built from this commit"
    if not built:
        raise NotCheckedError(f"{image} is there; it does not say from which lock it was built", build)
    if built != wanted:
        raise FaultError(f"{image} was built from the lock {built[:12]}, this code has {wanted[:12]}", build)
    return f"{image} was built from this lock"


def subnetwork(api: GoogleApi, name: str) -> str:
    """Whether the subnetwork of Spark's jobs reaches Google's services without public addresses."""
    found = _resource(api, name)
    if not found.get("privateIpGoogleAccess"):
        _, project, _, region, _, short = name.split("/")
        update = f"gcloud compute networks subnets update {short} --project={project} --region={region}"
        raise FaultError(f"{name} has no Private Google Access", f"{update} --enable-private-ip-google-access")
    return f"{name} has Private Google Access"


def network(api: GoogleApi, name: str) -> str:
    """Whether the network is connected with Google's, in which Vertex AI runs jobs."""
    found = _resource(api, name)
    states = {one.get("name"): one.get("state") for one in found.get("peerings", [])}
    if states.get(_SERVICE_CONNECTION) != "ACTIVE":
        said = f"{name} is not connected with Google's networks, so jobs of Vertex AI cannot reach MLflow"
        connect = "gcloud services vpc-peerings connect --service=servicenetworking.googleapis.com"
        short = name.rpartition("/")[2]
        ranges = f"--network={short} --ranges={short}-services --project={api.project}"
        raise FaultError(said, f"{connect} {ranges}")
    widest = google_project.widest_range(api, name.rpartition("/")[2])
    if widest is None or widest > _SMALLEST_RANGE:
        raise _too_narrow(api, name.rpartition("/")[2], widest)
    return f"{name} is connected with Google's networks, which have a range of /{widest}"


def _too_narrow(api: GoogleApi, short: str, widest: int | None) -> FaultError:
    has = "no range of addresses" if widest is None else f"a range of /{widest}"
    new, place = f"{short}-vertex", f"--network={short} --project={api.project}"
    return FaultError(
        f"{short} lends Google's networks {has}; jobs of Vertex AI need /{_SMALLEST_RANGE} or wider",
        f"gcloud compute addresses create {new} --global --purpose=VPC_PEERING --prefix-length=16 {place}",
        "gcloud services vpc-peerings update --service=servicenetworking.googleapis.com "
        f"--ranges={short}-services,{new} {place}",
    )


def _resource(api: GoogleApi, name: str) -> Mapping[str, Any]:
    try:
        return google_project.compute(api, name)
    except MissingInputError as error:
        raise FaultError(f"there is no {name}", google_errors.APPLY) from error

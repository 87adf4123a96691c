"""``contrail doctor`` on (loopback) Google Cloud: each fault is found by its own check alone, which says what to run.

Google's clients, PyIceberg and MLflow are the real ones and unmodified; see tests/loopback.
"""

import http.client
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.cloud import bigquery
from mlflow import MlflowClient
from tests.conftest import TOY_PIPELINES, Toy
from tests.loopback.apis import PERMISSIONS
from tests.loopback.cloud import IMAGE, REGION, LoopbackCloud, production
from tests.loopback.identity import PROJECT
from tests.loopback.server import QuietHandler, QuietServer
from tests.loopback.storage import free_port
from tests.unit.cli.test_cli import run

from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.dispatch.receipts import Receipt, Receipts
from contrail.operations.doctor import doctor as operation
from contrail.operations.doctor import project
from contrail.operations.doctor.grants import project_grants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("google")]

CALLER = f"tests@{PROJECT}.iam.gserviceaccount.com"
NOT_HERE = {"airflow", "rights of SPARK", "rights of TRAIN"}
ROOM = {"memory", "disk"}  # how much this machine has free just now is no matter of these tests
JSON = ("doctor", "--json", "--seconds", "120")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCloud]:
    """A project as Terraform makes it, with one table in the catalog."""
    with production(tmp_path_factory.mktemp("cloud"), CONTRAIL_PIPELINES=str(TOY_PIPELINES)) as made:
        toy = Toy(load_pipeline("toy"), settings())
        toy.land("2024-01-01")
        toy.run("ingest", "2024-01-01")
        yield made


def account(name: str) -> str:
    return os.environ[f"CONTRAIL_{name}_ACCOUNT"]


class Doctor:
    """The command in this process, with environment variables of a test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit status, and what each check found."""
        with self.monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            settings.cache_clear()
            code, out, err = run(patch, self.capsys, *JSON)
        settings.cache_clear()
        assert "Traceback" not in err
        # The tests call the accounts of jobs SPARK and TRAIN, whatever the project calls them.
        for name in ("SPARK", "TRAIN"):
            short, _, domain = account(name).partition("@")
            out = out.replace(f"{short}@{domain}", f"{name}@{domain}")
            out = out.replace(f'"account {short}"', f'"account {name}"').replace(
                f'"rights of {short}"', f'"rights of {name}"'
            )
        return code, {one["check"]: one for one in json.loads(out) if one["check"] not in ROOM}


@pytest.fixture
def doctor(cloud: LoopbackCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(monkeypatch, capsys)


def named(found: dict[str, dict[str, Any]], state: str) -> set[str]:
    return {name for name, one in found.items() if one["state"] == state}


def wrong(found: dict[str, dict[str, Any]]) -> str:
    return "\n".join(f"{name}: {one['said']}" for name, one in found.items() if one["state"] != "ok")


def test_a_project_as_terraform_makes_it_is_right(doctor: Doctor) -> None:
    code, found = doctor()
    assert (code, named(found, "failed"), named(found, "not checked")) == (0, set(), NOT_HERE), wrong(found)
    assert found["account"]["said"] == f"serviceAccount:{CALLER}"
    assert "toy" in found["catalog"]["said"]
    assert "cpus 24" in found["quota spark"]["said"]


def test_nothing_is_changed(cloud: LoopbackCloud, doctor: Doctor) -> None:
    before = everything(cloud)
    cloud.project.asked.unlink()
    doctor()
    assert everything(cloud) == before
    asked = cloud.project.asked.read_text().splitlines()
    assert len(asked) > 10
    assert [one for one in asked if not one.startswith("GET ") and not one.endswith(":testIamPermissions")] == []


def everything(cloud: LoopbackCloud) -> dict[str, bytes]:
    """Every object of the storage, every file of the home, and the catalog's own file."""
    objects = {path for path in (cloud.folder / "storage").rglob("*") if path.is_file()}
    home = {path for path in (cloud.folder / "home").rglob("*") if path.is_file()}
    return {str(path): path.read_bytes() for path in objects | home}


class Fault(NamedTuple):
    """What is planted in the project or in the environment, the check that must find it, and what it says to run."""

    check: str
    runs: str
    project: dict[str, Any] = {}  # noqa: RUF012
    variables: dict[str, str] = {}  # noqa: RUF012
    code: int = 2
    blind: tuple[str, ...] = ()  # checks that cannot be made meanwhile


DEAD = f"http://127.0.0.1:{free_port()}"
GRANT = f"--member=serviceAccount:{CALLER}"
LOCK = "contrail.requirements.sha256"
L4 = "custom_model_training_nvidia_l4_gpus"
FAULTS = {
    "a service is off": Fault(
        "services", f"gcloud services enable biglake.googleapis.com --project={PROJECT}",
        {"off": ["biglake.googleapis.com"]},
    ),
    "a service that is asked is off": Fault(
        "services", "gcloud services enable compute.googleapis.com", {"off": ["compute.googleapis.com"]},
        blind=("subnetwork", "network"),
    ),
    "no bucket": Fault(
        "bucket nowhere", "terraform -chdir=terraform apply", variables={"CONTRAIL_LANDING_BUCKET": "nowhere"}
    ),
    "no right to write a bucket": Fault(
        "bucket lake", f"gcloud storage buckets add-iam-policy-binding gs://lake {GRANT} --role=roles/storage.objectUser",
        {"denied": [["lake", "storage.objects.create"]]},
    ),
    "no right to act as a job": Fault(
        "account SPARK",
        f"gcloud iam service-accounts add-iam-policy-binding SPARK@{PROJECT}.iam.gserviceaccount.com --project={PROJECT} {GRANT}",
        {"denied": [["SPARK", "iam.serviceAccounts.actAs"]]},
    ),
    "no account of a job": Fault("account TRAIN", "terraform -chdir=terraform apply", {"gone": ["account/TRAIN"]}),
    "no right to pull": Fault(
        "image repository", "gcloud artifacts repositories add-iam-policy-binding contrail",
        {"denied": [["contrail", "artifactregistry.repositories.downloadArtifacts"]]},
    ),
    "no repository": Fault("image repository", "terraform -chdir=terraform apply", {"gone": ["repository/contrail"]}),
    "no image": Fault("image job:test", f"docker push {IMAGE}", {"gone": ["image/job"]}),
    "an image of another lock": Fault("image job:test", "--build-arg LOCK=", {"labels": {LOCK: "0" * 64}}),
    "an image for another machine": Fault("image job:test", "--platform linux/amd64", {"architecture": "arm64"}),
    "no subnetwork": Fault("subnetwork", "terraform -chdir=terraform apply", {"gone": ["subnetwork/jobs"]}),
    "no Private Google Access": Fault(
        "subnetwork", "subnets update jobs --project=demo-project --region=europe-west1 --enable-private-ip-google-access",
        {"private_access": False},
    ),
    "no network": Fault("network", "terraform -chdir=terraform apply", {"gone": ["network/contrail"]}),
    "no peering": Fault("network", "gcloud services vpc-peerings connect", {"peering": ""}),
    "a peering that ended": Fault("network", "--network=contrail", {"peering": "INACTIVE"}),
    "a range that is too narrow for Vertex AI": Fault(
        "network", "gcloud compute addresses create contrail-vertex --global --purpose=VPC_PEERING", {"prefix": 20}
    ),
    "no range": Fault("network", "gcloud services vpc-peerings update", {"prefix": 0}),
    "no spot GPU": Fault(
        "quota gpu", "console.cloud.google.com/iam-admin/quotas",
        {"quotas": {L4.replace("training_", "training_preemptible_"): 0}},
    ),
    "no GPU on demand": Fault("quota gpu", f"?project={PROJECT}", {"quotas": {L4: 0}}),
    "too few CPUs": Fault("quota spark", f"?project={PROJECT}", {"quotas": {"cpus": 8}}),
    "the catalog does not answer": Fault(
        "catalog", "gcloud biglake iceberg catalogs describe lake", variables={"CONTRAIL_CATALOG_URI": DEAD}, code=75,
        blind=("commit",),
    ),
    "no MLflow": Fault(
        "registry", f"curl --fail {DEAD}/health", variables={"CONTRAIL_MLFLOW_URI": DEAD}, code=75
    ),
    "no database of Airflow": Fault(
        "airflow", "airflow db check", code=75,
        variables={"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{DEAD.removeprefix('http://')}/airflow"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_by_its_check_alone(cloud: LoopbackCloud, doctor: Doctor, fault: Fault) -> None:
    planted = json.dumps(fault.project)
    for name in ("SPARK", "TRAIN"):
        planted = planted.replace(name, account(name))
    with cloud.project.planted(**json.loads(planted)) if fault.project else nullcontext():
        code, found = doctor(**fault.variables)
    assert (code, named(found, "failed")) == (fault.code, {fault.check}), wrong(found)
    assert named(found, "not checked") == (NOT_HERE | set(fault.blind)) - {fault.check}
    assert any(fault.runs in line for line in found[fault.check]["commands"]), found[fault.check]


ROLES = (
    "roles/dataproc.serverlessEditor", f"projects/{PROJECT}/roles/contrailVertexSubmitter", "roles/biglake.editor",
    "roles/serviceusage.serviceUsageConsumer", "roles/bigquery.jobUser", "roles/logging.logWriter",
)  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_permission_names_the_role_that_has_it(cloud: LoopbackCloud, doctor: Doctor, role: str) -> None:
    (grant,) = [one for one in project_grants(settings()) if one.role.format(project=PROJECT) == role]
    with cloud.project.planted(denied=[[PROJECT, grant.permissions[-1]]]):
        code, found = doctor()
    assert (code, named(found, "failed")) == (2, {"project"}), wrong(found)
    assert found["project"]["said"].endswith(f" lacks {grant.permissions[-1]}")
    bind = f"gcloud projects add-iam-policy-binding {PROJECT} {GRANT} --condition=None --role={role}"
    assert found["project"]["commands"] == [bind]


def test_an_account_without_any_role_is_told_all_of_them(cloud: LoopbackCloud, doctor: Doctor) -> None:
    with cloud.project.planted(denied=[[PROJECT, one] for one in PERMISSIONS["project"]]):
        _, found = doctor()
    assert [line.rpartition("=")[2] for line in found["project"]["commands"]] == list(ROLES)
    assert all(one in found["project"]["said"] for one in PERMISSIONS["project"])


def test_a_service_that_does_not_answer_may_pass_later(cloud: LoopbackCloud, doctor: Doctor) -> None:
    with cloud.project.planted(silent=["compute.googleapis.com"]):
        code, found = doctor()
    assert (code, named(found, "failed")) == (75, {"subnetwork", "network"})


def test_what_only_an_administrator_may_see_is_no_failure(cloud: LoopbackCloud, doctor: Doctor) -> None:
    with cloud.project.planted(closed=["compute.googleapis.com"]):
        code, found = doctor()
    assert (code, named(found, "not checked")) == (0, NOT_HERE | {"subnetwork", "network"})
    assert "as an administrator" in found["network"]["said"]


def test_an_image_that_does_not_name_its_lock_is_not_checked(cloud: LoopbackCloud, doctor: Doctor) -> None:
    with cloud.project.planted(labels=None):
        code, found = doctor()
    assert (code, named(found, "not checked")) == (0, NOT_HERE | {"image job:test"})


@pytest.mark.parametrize(
    ("commit", "state"),
    [("abc", "ok"), ("def", "not checked"), ("abc+dirty", "not checked"), ("unknown", "not checked")],
)
def test_an_image_that_names_its_commit_alone(
    cloud: LoopbackCloud, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, commit: str, state: str
) -> None:
    monkeypatch.setattr(project, "code_revision", lambda _: commit)
    built = commit if commit == "unknown" else "abc"
    with cloud.project.planted(labels={"org.opencontainers.image.revision": built}):
        _, found = doctor()
    assert found["image job:test"]["state"] == state


def test_an_account_without_a_token_is_one_failure(cloud: LoopbackCloud, doctor: Doctor, tmp_path: Path) -> None:
    key = json.loads((cloud.folder / "service-account.json").read_text())
    wrong = tmp_path / "key.json"
    wrong.write_text(
        json.dumps({**key, "token_uri": key["token_uri"].replace("/token", "/token?"), "private_key_id": "x"})
    )
    code, found = doctor(GOOGLE_APPLICATION_CREDENTIALS=str(wrong))
    assert (code, named(found, "failed")) == (2, {"account"}), wrong(found)
    assert found["account"]["commands"] == ["gcloud auth application-default login"]
    assert {"services", "project", "bucket lake", "catalog"} <= named(found, "not checked")


def test_a_dataset_that_is_not_there_or_elsewhere(cloud: LoopbackCloud, doctor: Doctor) -> None:
    client = bigquery.Client(PROJECT)
    client.delete_dataset("contrail_analysts", delete_contents=True)
    try:
        code, found = doctor()
    finally:
        bigquery.Client(PROJECT, location=REGION).create_dataset("contrail_analysts")
    assert (code, named(found, "failed")) == (2, {"dataset contrail_analysts"})
    assert "terraform -chdir=terraform apply" in found["dataset contrail_analysts"]["commands"][0]


def test_a_budget_that_is_spent(cloud: LoopbackCloud, doctor: Doctor) -> None:
    receipts = Receipts.of(settings(), "toy")
    assert receipts is not None
    spent = Receipt(
        job="j", pipeline="toy", stage="train", partitions="2024-01-01", days=1, run="r", attempt=1, target="gpu",
        labels={}, submitted_at=datetime.now(UTC), prices="", currency="USD", estimate=50.0, estimated_from="",
    )  # fmt: skip
    receipts.write(spent)
    try:
        code, found = doctor()
    finally:
        receipts.write(spent.model_copy(update={"state": "never submitted"}))
    assert (code, named(found, "failed"), found["budget"]["commands"]) == (2, {"budget"}, ["contrail cost -p toy"])


def test_artifacts_that_lie_elsewhere(cloud: LoopbackCloud, doctor: Doctor) -> None:
    client = MlflowClient(settings().registry.tracking_uri)
    made = client.create_experiment("toy", artifact_location="gs://elsewhere/toy")
    try:
        code, found = doctor()
    finally:
        client.rename_experiment(made, "toy-before")
    assert (code, named(found, "failed")) == (2, {"registry"})
    assert f"mlflow experiments rename --experiment-id {made}" in found["registry"]["commands"][0]


def refusal(reason: str) -> bytes:
    """An error as BigQuery words it, and as PyIceberg meets it from BigLake."""
    said = f"{reason}: planted"
    return json.dumps(
        {"error": {"code": 403, "message": said, "errors": [{"reason": reason, "message": said}]}}
    ).encode()


@contextmanager
def service_that(
    refuses: Callable[[str, str], int], inner: str = "", content: bytes = refusal("forbidden")
) -> Iterator[str]:
    """A door before a service that answers some requests itself: with an error, or with the thing as it is."""
    error = content

    class Door(QuietHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, content = refuses(self.command, self.path), error
            if code in (0, 200):
                verb = "GET" if code else self.command
                connection = http.client.HTTPConnection(inner)
                connection.request(verb, self.path, body, dict(self.headers.items()))
                answer = connection.getresponse()
                code, content = answer.status, answer.read()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _forward  # noqa: N815

    server = QuietServer(Door)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("refuses", "failed"),
    [
        (lambda _, path: 404 if path.startswith("/v1/config") else 0, "catalog"),
        (
            lambda verb, path: 403 if (verb, path.partition("?")[0].rpartition("/")[2]) == ("GET", "namespaces") else 0,
            "catalog",
        ),
        (lambda verb, path: 403 if verb == "POST" else 0, "commit"),
        (lambda verb, path: 500 if verb == "POST" else 0, "commit"),
    ],
    ids=("no catalog of the bucket", "no right to list", "no right to commit", "a commit fails"),
)
def test_a_catalog_that_refuses(doctor: Doctor, refuses: Callable[[str, str], int], failed: str) -> None:
    with service_that(refuses, settings().catalog.uri.removeprefix("http://")) as address:
        code, found = doctor(CONTRAIL_CATALOG_URI=address)
    assert (code, named(found, "failed")) == (2, {failed}), wrong(found)
    assert found[failed]["commands"] == ["gcloud biglake iceberg catalogs describe lake"]


def test_a_catalog_that_takes_any_commit_is_told(doctor: Doctor) -> None:
    inner = settings().catalog.uri.removeprefix("http://")
    with service_that(lambda verb, _: 200 if verb == "POST" else 0, inner) as address:
        code, found = doctor(CONTRAIL_CATALOG_URI=address)
    assert (code, named(found, "failed")) == (2, {"commit"}), wrong(found)
    assert "accepted a commit" in found["commit"]["said"]


@pytest.mark.parametrize(("variable", "blind"), [
    ("BIGQUERY_EMULATOR_HOST", {"dataset contrail", "dataset contrail_analysts"}),
    ("CONTRAIL_CATALOG_URI", {"catalog", "commit"}),
])  # fmt: skip
@pytest.mark.parametrize("reason", ["accessNotConfigured", "SERVICE_DISABLED"])
def test_a_service_that_is_off_is_one_failure(doctor: Doctor, variable: str, blind: set[str], reason: str) -> None:
    with service_that(lambda *_: 403, content=refusal(reason)) as address:
        code, found = doctor(**{variable: address})
    assert (code, named(found, "not checked")) == (0, NOT_HERE | blind), wrong(found)


def test_datasets_that_this_account_may_not_read(doctor: Doctor) -> None:
    with service_that(lambda *_: 403) as address:
        code, found = doctor(BIGQUERY_EMULATOR_HOST=address)
    assert (code, named(found, "failed")) == (2, {"dataset contrail", "dataset contrail_analysts"}), wrong(found)
    assert "terraform -chdir=terraform apply" in found["dataset contrail"]["commands"][0]


def test_settings_that_are_incomplete_end_in_one_finding(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONTRAIL_GCP_PROJECT", "CONTRAIL_TEAM"):
        monkeypatch.delenv(name)
    code, found = doctor()
    assert (code, named(found, "failed")) == (2, {"settings"})
    assert found["settings"]["commands"] == ["export CONTRAIL_GCP_PROJECT=…", "export CONTRAIL_TEAM=…"]


def test_every_check_is_tried_here(doctor: Doctor) -> None:
    tried = {fault.check for fault in FAULTS.values()}
    tried |= {"settings", "account", "project", "budget", "commit", "dataset contrail_analysts"}
    # One fault for each kind of bucket and dataset; the rest of them, and the checks of this machine, have unit tests.
    alike = {"bucket landing", "bucket lake", "bucket artifacts", "bucket scratch", "dataset contrail"}
    ours = {"pipelines", "prices", "python", "libraries", "java", "home"}
    assert set(doctor()[1]) - tried - alike - ours - NOT_HERE == set()
    assert operation.checks_of(settings())

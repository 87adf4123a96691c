"""What Google's services say, in their own words, and what Contrail makes of it: whether to try again, and what to do."""

import pytest
from google.api_core import exceptions as google

from contrail_airflow.remote.trouble import advice, ending

# Texts as people have met them. The comments name where each stands.
STARTS = (
    # Google's documentation, "Service accounts" of Serverless for Apache Spark: missing roles, or no way to Google.
    ("Driver compute node failed to initialize for batch in 600 seconds", False, "roles/dataproc.worker"),
    # cloud.google.com/artifact-registry, "Troubleshoot": who pulls may not.
    (
        'Failed to pull image "europe-west1-docker.pkg.dev/acme/contrail/job:1": DENIED: Permission '
        '"artifactregistry.repositories.downloadArtifacts" denied on resource "projects/acme/locations/eu" (or it may not exist)',
        False,
        "node agent",
    ),
    ('Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "x".', False, "node agent"),
    ("Failed to pull image eu.pkg.dev/x: manifest unknown", False, "Artifact Registry"),
    # Each of Google's APIs, while it is off.
    (
        "Dataproc Resource Manager API has not been used in project 1234 before or it is disabled. Enable it by visiting "
        "https://console.developers.google.com/apis/api/dataprocrm.googleapis.com/overview?project=1234 then retry.",
        False,
        "apply -var-file=environments/$CONTRAIL_ENV.tfvars",
    ),
    # github.com/DataTalksClub/data-engineering-zoomcamp, FAQ.
    (
        "Subnetwork 'default' does not support Private Google Access which is required for Dataproc clusters when "
        "'internal_ip_only' is set to 'true'. Enable Private Google Access on subnetwork 'default'.",
        False,
        "Private Google Access",
    ),
    # Compute Engine, "Troubleshoot resource availability errors".
    ("IP_SPACE_EXHAUSTED: IP space of 'projects/acme/regions/r/subnetworks/jobs' is exhausted.", True, "free address"),
    # Dataproc and Vertex AI, when Airflow's account may not use the job's.
    (
        "User not authorized to act as service account 'spark@acme.iam.gserviceaccount.com'. To act as a service account, "
        "user must have one of [Owner, Editor, Service Account Actor] roles.",
        False,
        "roles/iam.serviceAccountUser",
    ),
    (
        "You do not have permission to act as service_account: train@acme.iam.gserviceaccount.com. (or it may not exist).",
        False,
        "roles/iam.serviceAccountUser",
    ),
    # github.com/GoogleCloudPlatform/vertex-ai-samples/issues/1805, a batch; and of clusters.
    ("Insufficient 'DISKS_TOTAL_GB' quota. Requested 3200.0, available 2048.0.", True, "quota"),
    ("Multiple validation errors:\n - Insufficient 'CPUS' quota. Requested 12.0, available 8.0.", True, "quota"),
    ("Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: 32.0 globally.", True, "quota"),
    # github.com/kestra-io/plugin-gcp/issues/698.
    (
        "The zone 'projects/acme/zones/europe-west4-b' does not have enough resources available to fulfill the request.  "
        "Try a different zone, or try again later.",
        True,
        "stock",
    ),
    ("ZONE_RESOURCE_POOL_EXHAUSTED", True, "stock"),
    # github.com/GoogleCloudPlatform/ai-on-gke/issues/849.
    (
        "A e2-standard-2 VM instance is currently unavailable in the europe-west4-a zone. Alternatively, you can try your "
        "request again with a different VM hardware configuration or at a later time.",
        True,
        "stock",
    ),
    # Vertex AI, a custom job.
    ("Resources are insufficient in region: us-central1. Please try a different region.", True, "stock"),
    (
        "Operation denied by organization policy constraint constraints/compute.vmExternalIpAccess",
        False,
        "organization",
    ),
    ("Constraint constraints/compute.requireShieldedVm violated for project projects/acme.", False, "organization"),
)


@pytest.mark.parametrize(("said", "again", "words"), STARTS, ids=[said[:40] for said, *_ in STARTS])
def test_what_keeps_a_job_from_its_start_is_told_apart(said: str, again: bool, words: str) -> None:
    found, what = ending(said)
    assert (found, words in what) == (again, True), what
    assert "memory" not in what


REQUESTS = (google.InvalidArgument, google.Aborted, google.FailedPrecondition, google.ServiceUnavailable)


@pytest.mark.parametrize(("said", "again", "words"), STARTS, ids=[said[:40] for said, *_ in STARTS])
@pytest.mark.parametrize("kind", REQUESTS)
def test_the_same_words_mean_the_same_when_the_request_is_refused(
    kind: type[google.GoogleAPICallError], said: str, again: bool, words: str
) -> None:
    found, what = advice(kind(said))
    assert (found, words in what) == (again, True), what


@pytest.mark.parametrize(
    ("said", "again", "words"),
    [
        ("The instance was preempted.", True, "spot machine"),
        ("Insufficient permissions for the bucket lake", False, "permission"),
        ("Request had insufficient authentication scopes", False, "permission"),
        ("File not found: gs://x/main.py", False, "not found"),
        ("The replica workerpool0-0 exited with a non-zero status of 137", True, "memory"),
        ("The replica workerpool0-0 ran out-of-memory and exited with a non-zero status of 9(SIGKILL)", True, "memory"),
        ("job of acme-spotlight-prod exited with status 1", True, "memory"),
        ("job of imagequotas-prod exited with status 1", True, "memory"),
    ],
)
def test_how_a_job_ended_that_had_begun(said: str, again: bool, words: str) -> None:
    found, what = ending(said)
    assert (found, words in what) == (again, True), what


def test_an_api_that_is_off_is_no_matter_of_roles() -> None:
    said = "Dataproc API has not been used in project 12 before or it is disabled. Enable it by visiting https://x then retry."
    assert advice(google.PermissionDenied(said))[1].startswith("an API is switched off")
    assert advice(google.PermissionDenied("dataproc.batches.create"))[1].startswith("permission")
    # What Dataproc says to a label with an underscore: github.com/apache/airflow/issues/59332.
    label = 'Not a valid value: "process_data". Only lowercase letters, numbers, and dashes are allowed.'
    assert advice(google.InvalidArgument(label)) == (
        False,
        "the request was refused: see the target in the environment file",
    )

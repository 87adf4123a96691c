"""Google's documented limits of batches, as plain data: the loopback refuses what is beyond them (``batch_checks``).

Each group names its source and the day of its reading. What no source says is not here. ``vertex_limits`` has those of
custom jobs.
"""

import re

# --- shared by Google's services ----------------------------------------------------------------------------------

# The form of a region's name, and the regions. Source: `gcloud compute regions list` of 2026-08-17, as kept in
# github.com/Cyclenerd/google-cloud-pricing-cost-calculator (tools/). Vertex AI trains in fewer: which, is not verified.
REGION = re.compile(r"(africa|asia|australia|europe|me|northamerica|southamerica|us)-[a-z]+\d+")
_REGIONS = """
africa-south1 asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2
asia-southeast1 asia-southeast2 asia-southeast3 australia-southeast1 australia-southeast2 europe-central2
europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west10 europe-west12 europe-west2 europe-west3
europe-west4 europe-west6 europe-west8 europe-west9 me-central1 me-central2 me-west1 northamerica-northeast1
northamerica-northeast2 northamerica-south1 southamerica-east1 southamerica-west1 us-central1 us-east1 us-east4
us-east5 us-south1 us-west1 us-west2 us-west3 us-west4
"""
REGIONS = frozenset(_REGIONS.split())
# Source: Artifact Registry, "Repository and image names"; custom containers of both services come from there alone.
IMAGE = re.compile(
    r"[a-z0-9-]+-docker\.pkg\.dev/[a-z0-9.:-]+/[a-z0-9-]+/[a-z0-9._/-]+(:[\w.-]{1,128}|@sha256:[0-9a-f]{64})"
)
# Source: IAM, "Create service accounts": 6 to 30 characters before the project's domain.
SERVICE_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.-]+\.iam\.gserviceaccount\.com")

# --- Dataproc -----------------------------------------------------------------------------------------------------

# Source: docs of the locked client, google/cloud/dataproc_v1/types/batches.py (read 2026-11-26).
BATCH_ID = re.compile(r"[a-z0-9][a-z0-9-]{2,61}[a-z0-9]")
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{0,40}")
BATCH_LABELS = 32
# Keys and values "must conform to RFC 1035" there. What the service really says to another value is in
# github.com/apache/airflow/issues/59332 (2025-12-11): no underscore, and a letter or a digit at both ends.
BATCH_LABEL_KEY = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
BATCH_LABEL_VALUE = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?")
# Source: docs of the locked client, google/cloud/dataproc_v1/types/shared.py, ExecutionConfig (read 2026-11-26).
BATCH_TTL_SECONDS = (10 * 60, 14 * 24 * 3600)

# Source: docs.cloud.google.com/managed-spark/docs/concepts/properties, "Spark properties" (read 2026-11-26 in several
# languages, whose copies reach different parts of the page).
BATCH_PROPERTY = re.compile(r"(spark|dataproc)\.[\w.-]+")
BATCH_PROPERTIES_REFUSED = re.compile(r"spark\.(master|submit\.deployMode|yarn\..*|shuffle\.service\..*)")
BATCH_CORES = frozenset({4, 8, 16})
BATCH_INSTANCES = (2, 2000)
BATCH_TIERS = frozenset({"standard", "premium"})
BATCH_MEMORY_MB_A_CORE = {"standard": (1024, 7424), "premium": (1024, 24576)}
BATCH_DISK_GB_AT_LEAST = 250
# With an accelerator: its cores, and the tiers of compute and disk must be premium. Source: the same page and "Use GPUs
# with Managed Service for Apache Spark"; the quotas name the same three types.
BATCH_ACCELERATOR_CORES = {
    "l4": frozenset({4, 8, 12, 16, 24, 48, 96}),
    "a100-40": frozenset({12}),
    "a100-80": frozenset({12}),
}

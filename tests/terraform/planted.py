"""Defects of ``terraform/``, each a change of one place and what a check must say to it."""

from tests.terraform.copies import Defect

(ACCOUNT, BIGQUERY, BUCKETS, DATABASE, DELIVERY, IDENTITY, MONITORING, NETWORK, REGISTRY, SECRETS, SERVICES) = (
    f"modules/{name}/main.tf"
    for name in (
        *(
            "job_account",
            "bigquery",
            "storage",
            "database",
            "delivery",
            "identity",
            "monitoring",
            "network",
            "registry",
        ),
        *("secrets", "services"),
    )
)
TRAIN_WRITES = 'train = { member = module.vertex.account.member, writes = [""] }'

# What the schema finds: `terraform validate`.
OF_FORM = {
    "unknown attribute": Defect(BUCKETS, "public_access_prevention =", "public_acess = ", "Unsupported argument"),
    "unknown block": Defect(BUCKETS, "versioning {", "versions {", "Unsupported block type"),
    "block given twice": Defect(
        BUCKETS, "soft_delete_policy {", "soft_delete_policy {\n}\nsoft_delete_policy {", "Too many"
    ),
    "required attribute left out": Defect(BUCKETS, "location = var.region", "", "Missing required argument"),
    "wrong type": Defect(
        DATABASE, "retained_backups = var.settings.backups_kept", 'retained_backups = "many"', "number"
    ),
    "bad reference": Defect(NETWORK, "address.services.name", "address.service.name", "undeclared resource"),
    "bad attribute in a reference": Defect(
        NETWORK, "address.services.name", "address.services.nam", "Unsupported attrib"
    ),
    "computed attribute set": Defect(
        ACCOUNT, "account_id = var.account_id", 'account_id = "a"\nemail = "a@b"', "unconfigurable"
    ),
    "unknown type": Defect(
        BUCKETS, '"google_storage_bucket" "this"', '"google_bucket" "this"', "Invalid resource type"
    ),
    "input of a module left out": Defect("main.tf", "subnet_cidr = var.subnet_cidr", "", "Missing required argument"),
}

# What only the provider's code knows: allowed values, and patterns of names.
OF_VALUES = {
    "direction of a firewall": Defect(
        NETWORK,
        'Identity-Aware Proxy to SSH." network = google_compute_network.this.id direction = "INGRESS"',
        'Identity-Aware Proxy to SSH."\nnetwork = google_compute_network.this.id\ndirection = "IN"',
        "direction to be one of",
    ),
    "name with an underscore": Defect(NETWORK, '"contrail-mlflow"', '"contrail_mlflow"', "does not match"),
    "name in capitals": Defect(NETWORK, 'name = "contrail-jobs"', 'name = "Contrail-Jobs"', "does not match"),
    "interval of flow logs": Defect(
        NETWORK, "INTERVAL_10_MIN", "INTERVAL_10_MINUTES", "aggregation_interval to be one of"
    ),
    "metadata of flow logs": Defect(
        NETWORK,
        'flow_sampling = 0.1 metadata = "EXCLUDE_ALL_METADATA"',
        'flow_sampling = 0.1\nmetadata = "NONE"',
        "metadata to be one of",
    ),
    "how NAT allocates": Defect(NETWORK, '"AUTO_ONLY"', '"AUTO"', "nat_ip_allocate_option to be one of"),
    "what NAT serves": Defect(
        NETWORK, '"LIST_OF_SUBNETWORKS"', '"SUBNETWORKS"', "source_subnetwork_ip_ranges_to_nat to be one of"
    ),
    "version of Postgres": Defect(DATABASE, "POSTGRES_18", "POSTGRES_81", "database_version to be one of"),
    "state of a tag": Defect(REGISTRY, '"UNTAGGED"', '"NONE"', "tag_state to be one of"),
    "action of a clean-up": Defect(REGISTRY, 'action = "KEEP"', 'action = "RETAIN"', "action to be one of"),
    "severity of an alert": Defect(
        MONITORING,
        'is silent" combiner = "OR" severity = "CRITICAL"',
        'is silent"\ncombiner = "OR"\nseverity = "PAGE"',
        "severity to be one of",
    ),
    "kind of a metric": Defect(MONITORING, '"DELTA"', '"COUNTER"', "metric_kind to be one of"),
    "basis of a threshold": Defect(MONITORING, '"FORECASTED_SPEND"', '"FORECAST"', "spend_basis to be one of"),
    "period of a budget": Defect(MONITORING, '"MONTH"', '"MONTHLY"', "calendar_period to be one of"),
    "type of the catalog": Defect(
        "main.tf", "CATALOG_TYPE_GCS_BUCKET", "CATALOG_TYPE_GCS", "catalog_type to be one of"
    ),
}

# What a module's own tests find.
OF_SENSE = {
    # who may what
    "job account opens every bucket": Defect(ACCOUNT, "resource.service != ", "resource.service == ", "does not open"),
    "submitter acts as any account": Defect(
        ACCOUNT, '"roles/iam.serviceAccountUser"', '"roles/iam.serviceAccountTokenCreator"', "not as any in the project"
    ),
    "submitter has the job's rights": Defect(
        ACCOUNT, "role = var.submitter_role", 'role = "roles/dataproc.admin"', "with the role that was given"
    ),
    "analysts have a role more": Defect(
        IDENTITY, "analysts, roles = [", 'analysts, roles = ["roles/logging.viewer", ', "and no more"
    ),
    "a basic role": Defect(IDENTITY, '"roles/monitoring.viewer",', '"roles/viewer",', "No basic roles"),
    "an administrator": Defect(
        IDENTITY, '"roles/cloudsql.client",', '"roles/cloudsql.admin",', "Nobody here administers"
    ),
    "all tables": Defect(
        IDENTITY,
        '"roles/biglake.editor", # the Iceberg catalog',
        '"roles/bigquery.dataEditor",',
        "opens no bucket and no table",
    ),
    "anyone in the project": Defect(
        IDENTITY, "member = each.value.member", 'member = "allUsers"', "Nobody from outside"
    ),
    "analysts read the tables": Defect(
        BIGQUERY, "for_each = toset(var.readers)", "for_each = toset(var.analysts)", "do not read"
    ),
    "views may not read": Defect(
        BIGQUERY, "google_bigquery_dataset.analysts.dataset_id", '"other"', "may read the published"
    ),
    "another writer": Defect(
        BIGQUERY,
        'user_by_email = var.publisher } dynamic "access" { for_each = toset(var.readers)',
        'user_by_email = "spark@example.com"\n}\ndynamic "access" {\nfor_each = toset(var.readers)',
        "Only the publisher writes",
    ),
    "readers by the project": Defect(
        BIGQUERY,
        'for_each = toset(var.readers) content { role = "READER" group_by_email = access.value',
        'for_each = toset(var.readers)\ncontent {\nrole = "READER"\nspecial_group = "projectReaders"',
        "being in a project",
    ),
    "readable secret": Defect(
        SECRETS, "roles/secretmanager.secretVersionAdder", "roles/secretmanager.secretAccessor", "cannot read it"
    ),
    "another repository logs in": Defect(
        DELIVERY,
        'attribute_condition = "assertion.repository == ',
        'attribute_condition = "assertion.repository != ',
        "other repositories are refused",
    ),
    "any branch deploys": Defect(
        DELIVERY, "attribute.environment/${var.environment}", "attribute.ref/main", "Only a job in the"
    ),
    "anybody plans": Defect(
        DELIVERY, "/attribute.repository/${var.github_repository}", "/*", "of the repository may plan"
    ),
    "another issuer": Defect(
        DELIVERY, "https://token.actions.githubusercontent.com", "https://token.example.com", "GitHub alone"
    ),
    "the planner writes": Defect(
        DELIVERY, '"roles/logging.viewer",', '"roles/logging.configEditor",', "The planner only reads"
    ),
    "the planner reads secrets": Defect(
        DELIVERY, '"roles/secretmanager.viewer",', '"roles/secretmanager.secretAccessor",', "no data and no secret"
    ),
    "the planner writes the state": Defect(
        DELIVERY,
        '"roles/storage.objectViewer" member = google_service_account.planner.member',
        '"roles/storage.objectUser"\nmember = google_service_account.planner.member',
        "The planner reads the state",
    ),
    "readers push images": Defect(
        REGISTRY,
        '{ role = "roles/artifactregistry.reader"',
        '{ role = "roles/artifactregistry.writer"',
        "deployer alone pushes",
    ),
    "job writes everywhere": Defect(
        BUCKETS,
        'for_each = contains(each.value.prefixes, "") && length(each.value.except) == 0 ? [] : [each.value]',
        "for_each = []",
        "under its prefixes only",
    ),
    "nobody may list": Defect(BUCKETS, "for_each = local.holders", "for_each = {}", "may list them"),
    # what is reachable
    "public address": Defect(DATABASE, "ipv4_enabled = false", "ipv4_enabled = true", "No public address"),
    "another network": Defect(
        DATABASE, "private_network = var.network_id", 'private_network = "default"', "from this network alone"
    ),
    "plain connections": Defect(
        DATABASE, "TRUSTED_CLIENT_CERTIFICATE_REQUIRED", "ALLOW_UNENCRYPTED_AND_ENCRYPTED", "encrypted on both sides"
    ),
    "no connector": Defect(
        DATABASE,
        'connector_enforcement = "REQUIRED"',
        'connector_enforcement = "NOT_REQUIRED"',
        "Only connectors connect",
    ),
    "open to the world": Defect(
        NETWORK, "source_ranges = [var.subnet_cidr]", 'source_ranges = ["0.0.0.0/0"]', "none is for the world"
    ),
    "jobs share Cloud SQL's addresses": Defect(
        NETWORK, ", google_compute_global_address.vertex.name", "", "have a range each"
    ),
    "Cloud SQL reaches MLflow": Defect(
        NETWORK, "address.vertex.address}", "address.services.address}", "Vertex AI's jobs reach MLflow alone"
    ),
    "SSH from anywhere": Defect(NETWORK, '["35.235.240.0/20"]', '["0.0.0.0/0"]', "Identity-Aware Proxy SSH alone"),
    "all ports to Google's services": Defect(
        NETWORK, "ports = [var.mlflow_port]", "ports = [var.mlflow_port, 22]", "reach MLflow alone"
    ),
    "a way out, always": Defect(
        NETWORK,
        'count = var.internet ? 1 : 0 name = "contrail-internet" region = var.region '
        "router = google_compute_router.internet[0].name",
        'count = 1\nname = "contrail-internet"\nregion = var.region\nrouter = "some-router"',
        "There is no way out",
    ),
    "a subnet in every region": Defect(
        NETWORK, "auto_create_subnetworks = false", "auto_create_subnetworks = true", "from this subnet alone"
    ),
    "Google's APIs over the internet": Defect(
        NETWORK, "google_access = true", "google_access = false", "without a public address"
    ),
    "a public address of the machine": Defect(
        NETWORK, 'address_type = "INTERNAL" }', 'address_type = "EXTERNAL"\n}', "No address here is public"
    ),
    "no flow logs": Defect(NETWORK, "flow_sampling = 0.1", "flow_sampling = 0", "What flows"),
    # what is lost
    "instance deleted by accident": Defect(
        DATABASE,
        "deletion_protection = var.settings.deletion_protection settings",
        "deletion_protection = false\nsettings",
        "by accident",
    ),
    "no backups": Defect(
        DATABASE, "configuration { enabled = true", "configuration {\nenabled = false", "As many backups"
    ),
    "no point in time": Defect(
        DATABASE, "point_in_time_recovery_enabled = true", "point_in_time_recovery_enabled = false", "Point-in-time"
    ),
    "a day of logs": Defect(
        DATABASE, "transaction_log_retention_days = 7", "transaction_log_retention_days = 1", "Seven days of logs"
    ),
    "backups elsewhere": Defect(
        DATABASE, "location = var.region start_time", 'location = "us"\nstart_time', "stay in the region"
    ),
    "backups go with the instance": Defect(
        DATABASE, "retain_backups_on_delete = true", "retain_backups_on_delete = false", "outlive the instance"
    ),
    "login by password": Defect(
        DATABASE,
        'name = "cloudsql.iam_authentication" value = "on"',
        'name = "cloudsql.iam_authentication"\nvalue = "off"',
        "log in by IAM",
    ),
    "no log of who connects": Defect(
        DATABASE, 'name = "log_connections" value = "on"', 'name = "log_connections"\nvalue = "off"', "Who connected"
    ),
    "database without a label": Defect(DATABASE, "user_labels = var.labels", "user_labels = {}", "whose it is"),
    "secret deleted by accident": Defect(
        SECRETS, "deletion_protection = true", "deletion_protection = false", "deleted by accident"
    ),
    "secret elsewhere": Defect(SECRETS, "location = var.region", 'location = "us-central1"', "stays in the region"),
    "tables elsewhere": Defect(
        BIGQUERY, "location = var.region max_time", 'location = "EU"\nmax_time', "where the data is"
    ),
    "tables deleted with their dataset": Defect(
        BIGQUERY,
        "location = var.region max_time",
        "location = var.region\ndelete_contents_on_destroy = true\nmax_time",
        "is not deleted",
    ),
    "no time travel": Defect(BIGQUERY, '"168"', '"48"', "last seven days"),
    "action of a lifecycle": Defect(BUCKETS, '"AbortIncompleteMultipartUpload"', '"AbortUpload"', "type to be one of"),
    "published rows expire": Defect(
        BUCKETS,
        'days_since_noncurrent_time = lifecycle_rule.value with_state = "ARCHIVED"',
        'age = 7\nwith_state = "LIVE"',
        "published objects",
    ),
    "temporary rows have versions": Defect(BUCKETS, "each.value.noncurrent_days != null", "true", "temporary has none"),
    "deleted objects cost": Defect(BUCKETS, "seconds = 0", "seconds = 604800", "paid copy"),
    "images for ever": Defect(REGISTRY, "immutable_tags = false", "immutable_tags = true", "for ever"),
    "only untagged images go": Defect(REGISTRY, 'tag_state = "ANY"', 'tag_state = "UNTAGGED"', "Old images go"),
    "no image to go back to": Defect(REGISTRY, "keep_count = 20", "keep_count = 0", "images to go back to"),
    "a dry run": Defect(
        REGISTRY, 'format = "DOCKER"', 'format = "DOCKER"\ncleanup_policy_dry_run = true', "do not only say"
    ),
    # what nobody would notice
    "Dataproc's nodes have no API": Defect(
        SERVICES, '"dataprocrm.googleapis.com",', "", "Every API that Contrail calls"
    ),
    "an API switched off": Defect(
        SERVICES, "disable_on_destroy = false", "disable_on_destroy = true", "never switches an API off"
    ),
    "an API left out": Defect(SERVICES, '"sts.googleapis.com",', "", "Every API that Contrail calls"),
    "an API by half its name": Defect(
        SERVICES, '"iap.googleapis.com",', '"iap.googleapis.com", "dns",', "its whole name"
    ),
    "no audit of writes": Defect(
        SERVICES,
        'log_type = "DATA_WRITE" } depends_on = [google_project_service.this] } resource',
        'log_type = "DATA_READ"\n}\ndepends_on = [google_project_service.this]\n}\nresource',
        "Every write to a bucket",
    ),
    "no audit of secrets": Defect(SERVICES, 'audit_log_config { log_type = "DATA_READ" }', "", "Every use of a secret"),
    "an alert that never matches": Defect(
        MONITORING, 'jsonPayload.kind=(\\"failure\\"', 'jsonPayload.kind=(\\"failed\\"', "is what the alert reads"
    ),
    "errors of another service": Defect(
        MONITORING, 'ml_job = "a training', 'ml_jobs = "a training', "both kinds of jobs"
    ),
    "another metric": Defect(
        MONITORING, 'jsonPayload.table=\\"predictions\\"', 'jsonPayload.table=\\"features\\"', "counted by pipeline"
    ),
    "a window of an hour": Defect(MONITORING, '"25h"', '"1h"', "A day without"),
    "a channel of another kind": Defect(MONITORING, 'type = "email"', 'type = "sms"', "Each address has its channel"),
    "told too late": Defect(MONITORING, "threshold_percent = 0.5", "threshold_percent = 1.5", "Told at half"),
    "another budget": Defect(
        MONITORING, "units = tostring(var.monthly_budget)", 'units = "1000000"', "what a month may cost"
    ),
    "an alert without a label": Defect(
        MONITORING,
        'severity = "WARNING" notification_channels = local.channels user_labels = var.labels',
        'severity = "WARNING"\nnotification_channels = local.channels',
        "says whose it is",
    ),
}

# Each module is as it should be, and what the root makes of it is not.
OF_THE_WHOLE = {
    "published rows expire": Defect(
        "main.tf", "lake = { noncurrent_days = 7", 'lake = {\nexpire_prefixes = { "a/" = 14 }', "deleted by age"
    ),
    "a batch's image cannot be pulled": Defect(
        "main.tf", "account.member, local.node_agent,", "account.member,", "Who may"
    ),
    "analysts read the tables": Defect(
        "main.tf", "[var.groups.engineers, var.groups.scientists]", "values(var.groups)", "Who may do what"
    ),
    "a job writes what was landed": Defect(
        "main.tf",
        "nearline_days = 90 access = {",
        f"nearline_days = 90\naccess = {{\n{TRAIN_WRITES}",
        "Who may do what",
    ),
    "a job cannot publish": Defect("main.tf", TRAIN_WRITES, "", "Who may do what"),
    "a job writes the code of jobs": Defect(
        "main.tf", '"dvc/"] except = local.airflows_own', '"dvc/"]', "Who may do what"
    ),
    "analysts have a role more": Defect(
        IDENTITY, "analysts, roles = [", 'analysts, roles = ["roles/viewer", ', "Who may do what"
    ),
    "a job submits jobs": Defect(
        "main.tf",
        '"aiplatform.customJobs.list",',
        '"aiplatform.customJobs.list", "aiplatform.endpoints.predict",',
        "Who may do what",
    ),
    "class of storage": Defect(BUCKETS, '"NEARLINE"', '"NEAR"', "Value that the provider refuses"),
    "whose is it": Defect("main.tf", '"cost-centre" = var.cost_centre', "", "who pays"),
}

# What a variable refuses, no longer refused.
OF_VARIABLES = {
    "any range of Vertex AI": Defect(
        "variables.tf",
        "contains([16, 17, 18]",
        "contains([16, 17, 18, 20]",
        "a_range_of_vertex_ai_is_one_that_it_documents",
    ),
    "any region": Defect(
        "variables.tf", '[1-9][0-9]?$", var.region', '[1-9][0-9]?", var.region', "a_region_is_no_zone"
    ),
    "a range of hosts": Defect(
        "variables.tf",
        "try(cidrsubnet(var.subnet_cidr, 0, 0) == var.subnet_cidr, false)",
        "can(cidrhost(var.subnet_cidr, 0))",
        "a_range_is_no_host",
    ),
    "a budget of nothing": Defect(
        "variables.tf", "var.monthly_budget > 0", "var.monthly_budget >= 0", "a_budget_is_above_0"
    ),
    "a database without backups": Defect(
        "variables.tf", "var.database.backups_kept >= 7", "var.database.backups_kept >= 0", "a_database_keeps_backups"
    ),
    "any billing account": Defect(
        "variables.tf", '"^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$"', '"."', "a_billing_account_has_its_form"
    ),
}

# What checkov finds, all at once.
OF_POLICY = {
    "public address": Defect(DATABASE, "ipv4_enabled = false", "ipv4_enabled = true", "CKV_GCP_60"),
    "plain connections": Defect(
        DATABASE, "TRUSTED_CLIENT_CERTIFICATE_REQUIRED", "ALLOW_UNENCRYPTED_AND_ENCRYPTED", "CKV_GCP_6"
    ),
    "no backups": Defect(DATABASE, "configuration { enabled = true", "configuration {\nenabled = false", "CKV_GCP_14"),
    "access by object": Defect(BUCKETS, "level_access = true", "level_access = false", "CKV_GCP_29"),
    "public bucket": Defect(BUCKETS, '"enforced"', '"inherited"', "CKV_GCP_114"),
    "no versions": Defect(BUCKETS, "enabled = each.value.noncurrent_days != null", "enabled = false", "CKV_GCP_78"),
    "no private access": Defect(NETWORK, "google_access = true", "google_access = false", "CKV_GCP_74"),
    "anyone pulls images": Defect(REGISTRY, "= each.value.member", '= "allUsers"', "CKV_GCP_101"),
}

# The whole, as it would be planned for the environment whose -var-file is given.

mock_provider "google" {}

run "who_may_do_what" {
  command = plan

  # Names of the table's own, whatever the -var-file says.
  variables {
    project_id        = "some-project"
    environment       = "prod"
    pipelines         = ["one", "two"]
    state_bucket      = "state"
    github_repository = "acme/contrail"
    groups = {
      engineers  = "engineers@x"
      scientists = "scientists@x"
      analysts   = "analysts@x"
      approvers  = "approvers@x"
    }
  }

  override_data {
    target          = data.google_project.this
    override_during = plan
    values          = { number = "1234" }
  }
  override_resource {
    target          = module.identity.google_service_account.airflow
    override_during = plan
    values          = { email = "airflow", member = "airflow" }
  }
  override_resource {
    target          = module.dataproc.google_service_account.this
    override_during = plan
    values          = { email = "spark-job", member = "spark-job" }
  }
  override_resource {
    target          = module.vertex.google_service_account.this
    override_during = plan
    values          = { email = "train-job", member = "train-job" }
  }
  override_resource {
    target          = module.delivery.google_service_account.planner
    override_during = plan
    values          = { email = "planner", member = "planner" }
  }
  override_resource {
    target          = module.delivery.google_service_account.deployer
    override_during = plan
    values          = { email = "deployer", member = "deployer" }
  }
  override_resource {
    target          = module.delivery.google_iam_workload_identity_pool.github
    override_during = plan
    values          = { name = "pool" }
  }
  override_resource {
    target          = google_project_iam_custom_role.vertex_submitter
    override_during = plan
    values          = { id = "contrailVertexSubmitter" }
  }

  assert {
    condition = sort(concat(
      module.identity.grants, module.dataproc.grants, module.vertex.grants, module.storage.grants, module.bigquery.grants,
      module.registry.grants, module.secrets.grants, module.delivery.grants,
      [for permission in google_project_iam_custom_role.vertex_submitter.permissions : "contrailVertexSubmitter: ${permission}"],
      )) == sort([
      # --- the project
      "project: airflow roles/biglake.editor",
      "project: airflow roles/bigquery.jobUser",
      "project: airflow roles/cloudsql.client",
      "project: airflow roles/cloudsql.instanceUser",
      "project: airflow roles/dataproc.serverlessEditor",
      "project: airflow contrailVertexSubmitter",
      "project: airflow roles/logging.logWriter",
      "project: airflow roles/monitoring.metricWriter",
      "project: airflow roles/serviceusage.serviceUsageConsumer",

      "contrailVertexSubmitter: aiplatform.customJobs.cancel",
      "contrailVertexSubmitter: aiplatform.customJobs.create",
      "contrailVertexSubmitter: aiplatform.customJobs.get",
      "contrailVertexSubmitter: aiplatform.customJobs.list",

      "project: spark-job roles/biglake.editor not-storage",
      "project: spark-job roles/dataproc.worker not-storage",
      "project: spark-job roles/serviceusage.serviceUsageConsumer not-storage",

      "project: train-job roles/biglake.editor not-storage",
      "project: train-job roles/logging.logWriter not-storage",
      "project: train-job roles/serviceusage.serviceUsageConsumer not-storage",

      "project: group:engineers@x roles/aiplatform.viewer",
      "project: group:engineers@x roles/biglake.viewer",
      "project: group:engineers@x roles/bigquery.jobUser",
      "project: group:engineers@x roles/dataproc.serverlessViewer",
      "project: group:engineers@x roles/logging.viewer",
      "project: group:engineers@x roles/monitoring.viewer",
      "project: group:engineers@x roles/serviceusage.serviceUsageConsumer",

      "project: group:scientists@x roles/aiplatform.viewer",
      "project: group:scientists@x roles/biglake.viewer",
      "project: group:scientists@x roles/bigquery.jobUser",
      "project: group:scientists@x roles/logging.viewer",
      "project: group:scientists@x roles/serviceusage.serviceUsageConsumer",

      "project: group:analysts@x roles/bigquery.jobUser",
      "project: group:approvers@x roles/bigquery.jobUser",

      "project: planner roles/artifactregistry.reader",
      "project: planner roles/biglake.viewer",
      "project: planner roles/bigquery.metadataViewer",
      "project: planner roles/cloudsql.viewer",
      "project: planner roles/compute.networkViewer",
      "project: planner roles/iam.securityReviewer",
      "project: planner roles/iam.workloadIdentityPoolViewer",
      "project: planner roles/logging.viewer",
      "project: planner roles/monitoring.viewer",
      "project: planner roles/secretmanager.viewer",
      "project: planner roles/serviceusage.serviceUsageConsumer",
      "project: planner roles/storage.bucketViewer",

      "project: deployer roles/artifactregistry.admin",
      "project: deployer roles/biglake.admin",
      "project: deployer roles/bigquery.dataOwner",
      "project: deployer roles/cloudsql.admin",
      "project: deployer roles/compute.networkAdmin",
      "project: deployer roles/compute.securityAdmin",
      "project: deployer roles/iam.roleAdmin",
      "project: deployer roles/iam.serviceAccountAdmin",
      "project: deployer roles/iam.workloadIdentityPoolAdmin",
      "project: deployer roles/logging.configWriter",
      "project: deployer roles/monitoring.editor",
      "project: deployer roles/resourcemanager.projectIamAdmin",
      "project: deployer roles/secretmanager.admin",
      "project: deployer roles/serviceusage.serviceUsageAdmin",
      "project: deployer roles/storage.admin",

      # --- who acts as an account
      "account spark-job: airflow roles/iam.serviceAccountUser",
      "account train-job: airflow roles/iam.serviceAccountUser",
      "account planner: principalSet://iam.googleapis.com/pool/attribute.repository/acme/contrail roles/iam.workloadIdentityUser",
      "account deployer: principalSet://iam.googleapis.com/pool/attribute.environment/prod roles/iam.workloadIdentityUser",

      # --- buckets
      "some-project-landing: airflow roles/storage.legacyBucketReader",
      "some-project-landing: airflow roles/storage.objectUser",
      "some-project-landing: group:engineers@x roles/storage.legacyBucketReader",
      "some-project-landing: group:engineers@x roles/storage.objectUser",
      "some-project-landing: group:scientists@x roles/storage.legacyBucketReader",
      "some-project-landing: group:scientists@x roles/storage.objectViewer",

      "some-project-lake: airflow roles/storage.legacyBucketReader",
      "some-project-lake: airflow roles/storage.objectUser",
      "some-project-lake: spark-job roles/storage.legacyBucketReader",
      "some-project-lake: spark-job roles/storage.objectUser",
      "some-project-lake: train-job roles/storage.legacyBucketReader",
      "some-project-lake: train-job roles/storage.objectUser",
      "some-project-lake: group:engineers@x roles/storage.legacyBucketReader",
      "some-project-lake: group:engineers@x roles/storage.objectViewer",
      "some-project-lake: group:scientists@x roles/storage.legacyBucketReader",
      "some-project-lake: group:scientists@x roles/storage.objectViewer",

      "some-project-artifacts: airflow roles/storage.legacyBucketReader",
      "some-project-artifacts: airflow roles/storage.objectUser",
      "some-project-artifacts: spark-job roles/storage.legacyBucketReader",
      "some-project-artifacts: spark-job roles/storage.objectViewer under jobs/code/ jobs/costs/",
      "some-project-artifacts: spark-job roles/storage.objectUser under jobs/ lineage/ reports/one/backfills/ reports/two/backfills/ but not jobs/code/ jobs/costs/",
      "some-project-artifacts: train-job roles/storage.legacyBucketReader",
      "some-project-artifacts: train-job roles/storage.objectViewer under jobs/code/",
      "some-project-artifacts: train-job roles/storage.objectUser under jobs/ lineage/ mlflow/ dvc/ but not jobs/code/ jobs/costs/",
      "some-project-artifacts: group:engineers@x roles/storage.legacyBucketReader",
      "some-project-artifacts: group:engineers@x roles/storage.objectViewer",
      "some-project-artifacts: group:scientists@x roles/storage.legacyBucketReader",
      "some-project-artifacts: group:scientists@x roles/storage.objectViewer",
      "some-project-artifacts: group:approvers@x roles/storage.legacyBucketReader",
      "some-project-artifacts: group:approvers@x roles/storage.objectViewer under reports/ mlflow/",

      "some-project-scratch: airflow roles/storage.legacyBucketReader",
      "some-project-scratch: airflow roles/storage.objectUser",
      "some-project-scratch: spark-job roles/storage.legacyBucketReader",
      "some-project-scratch: spark-job roles/storage.objectUser under staging/",
      "some-project-scratch: train-job roles/storage.legacyBucketReader",
      "some-project-scratch: train-job roles/storage.objectUser under staging/",
      "some-project-scratch: group:engineers@x roles/storage.legacyBucketReader",
      "some-project-scratch: group:engineers@x roles/storage.objectViewer",

      "state: planner roles/storage.objectViewer",
      "state: deployer roles/storage.objectUser",

      # --- BigQuery
      "dataset contrail: projectOwners OWNER",
      "dataset contrail: airflow WRITER",
      "dataset contrail: engineers@x READER",
      "dataset contrail: scientists@x READER",
      "dataset contrail: views of contrail_analysts READER",
      "dataset contrail_analysts: projectOwners OWNER",
      "dataset contrail_analysts: airflow WRITER",
      "dataset contrail_analysts: engineers@x READER",
      "dataset contrail_analysts: scientists@x READER",
      "dataset contrail_analysts: analysts@x READER",
      "dataset contrail_analysts: approvers@x READER",

      # --- images and secrets
      "registry: airflow roles/artifactregistry.reader",
      "registry: spark-job roles/artifactregistry.reader",
      "registry: train-job roles/artifactregistry.reader",
      "registry: serviceAccount:service-1234@gcp-sa-dataprocrmnode.iam.gserviceaccount.com roles/artifactregistry.reader",
      "registry: deployer roles/artifactregistry.writer",
      "secret contrail-env: group:engineers@x roles/secretmanager.secretVersionAdder",
      "secret contrail-mlflow-jobs: group:engineers@x roles/secretmanager.secretVersionAdder",
      "secret contrail-mlflow-jobs: train-job roles/secretmanager.secretAccessor",
    ])
    error_message = "Who may do what has changed: the table here is all of an environment's IAM."
  }

  assert {
    condition     = sort(module.storage.expiring) == tolist(["scratch: everything after 14 days"])
    error_message = "Of what is current, scratch alone is deleted by age."
  }
}

run "plan" {
  command = plan

  assert {
    condition     = alltrue([for use in ["landing", "lake", "artifacts", "scratch"] : startswith(module.storage.uris[use], "gs://${var.project_id}-")])
    error_message = "A bucket of each use, named after the project."
  }

  assert {
    condition     = "gs://${google_biglake_iceberg_catalog.lake.name}" == module.storage.uris["lake"]
    error_message = "A catalog over a bucket has the bucket's name."
  }

  assert {
    condition = sort(keys(output.environment)) == sort([
      "CONTRAIL_ARTIFACTS_BUCKET", "CONTRAIL_CATALOG_URI", "CONTRAIL_COST_CENTRE", "CONTRAIL_GCP_PROJECT", "CONTRAIL_GCP_REGION",
      "CONTRAIL_IMAGE_REPOSITORY", "CONTRAIL_LAKE_BUCKET", "CONTRAIL_LANDING_BUCKET", "CONTRAIL_MLFLOW_URI", "CONTRAIL_NETWORK", "CONTRAIL_SCRATCH_BUCKET",
      "CONTRAIL_SPARK_ACCOUNT", "CONTRAIL_SQL_CONNECTION", "CONTRAIL_SQL_USER", "CONTRAIL_SUBNETWORK", "CONTRAIL_TEAM",
      "CONTRAIL_TRAIN_ACCOUNT",
    ])
    error_message = "What docs/gcp.md writes into .env."
  }

  assert {
    condition     = local.labels.environment == var.environment && toset(keys(local.labels)) == toset(["app", "environment", "team", "cost-centre"])
    error_message = "Every resource says whose it is and who pays."
  }
}

# The orchestrator's account, and what each group of people may do in the project as a whole. The module of a bucket,
# a dataset or a secret grants what they may do with it.

resource "google_service_account" "airflow" {
  account_id   = "airflow"
  display_name = "Contrail orchestrator: Airflow and MLflow"
  description  = "Submits jobs, publishes tables, keeps the metadata databases."
}

locals {
  project_roles = {
    airflow = {
      member = google_service_account.airflow.member
      roles = [
        "roles/biglake.editor", # the Iceberg catalog
        "roles/bigquery.jobUser",
        "roles/cloudsql.client",
        "roles/cloudsql.instanceUser",
        "roles/logging.logWriter",
        "roles/monitoring.metricWriter",           # the machine's agent
        "roles/serviceusage.serviceUsageConsumer", # the catalog counts calls on the caller's project
      ]
    }
    engineers = {
      member = var.groups.engineers
      roles = [
        "roles/aiplatform.viewer",
        "roles/biglake.viewer",
        "roles/bigquery.jobUser",
        "roles/dataproc.serverlessViewer",
        "roles/logging.viewer",
        "roles/monitoring.viewer",
        "roles/serviceusage.serviceUsageConsumer",
      ]
    }
    scientists = {
      member = var.groups.scientists
      roles = [
        "roles/aiplatform.viewer",
        "roles/biglake.viewer",
        "roles/bigquery.jobUser",
        "roles/logging.viewer",
        "roles/serviceusage.serviceUsageConsumer",
      ]
    }
    # To run a query. The dataset decides what the query may read.
    analysts  = { member = var.groups.analysts, roles = ["roles/bigquery.jobUser"] }
    approvers = { member = var.groups.approvers, roles = ["roles/bigquery.jobUser"] }
  }

  grants = merge([
    for holder, grant in local.project_roles : {
      for role in grant.roles : "${holder} ${role}" => { member = grant.member, role = role }
    }
  ]...)
}

resource "google_project_iam_member" "this" {
  for_each = local.grants

  project = var.project_id
  role    = each.value.role
  member  = each.value.member
}

# GitHub Actions without keys. Google exchanges a job's token from GitHub for a short-lived token of an account.
# `planner` reads, and any workflow of the repository may use it. `deployer` changes things. Only jobs in the GitHub
# environment with this environment's name may use it, and reviewers can be required there. Both accounts go by claims
# of their own, not by the token's subject: an older repository makes it of names, a newer one of names and numbers.

locals {
  # Roles that read the configuration, but no data and no secrets. roles/viewer would also open every bucket's objects.
  planner_roles = [
    "roles/artifactregistry.reader",
    "roles/biglake.viewer",
    "roles/bigquery.metadataViewer",
    "roles/cloudsql.viewer",
    "roles/compute.networkViewer", # also sees the connection to Google's services, which roles/compute.viewer does not
    "roles/iam.securityReviewer",
    "roles/iam.workloadIdentityPoolViewer",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageConsumer",
    "roles/storage.bucketViewer",
  ]

  # This Terraform needs these roles. An account that sets a project's IAM can give itself all others. So the protection
  # of the project is who can start a job in the GitHub environment: require reviewers there.
  deployer_roles = [
    "roles/artifactregistry.admin",
    "roles/biglake.admin",
    "roles/bigquery.dataOwner",
    "roles/cloudsql.admin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/iam.roleAdmin",
    "roles/iam.workloadIdentityPoolAdmin",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/resourcemanager.projectIamAdmin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
  ]
}

resource "google_iam_workload_identity_pool" "github" {
  workload_identity_pool_id = "github"
  display_name              = "GitHub Actions"
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:It wants one subject; here the repository may log in and each account names below who gets in.
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    # A job outside any environment has no such claim, and a mapping that fails refuses the login.
    "attribute.environment" = "has(assertion.environment) ? assertion.environment : 'none'"
  }
  # Without this, any repository on GitHub could present its token.
  attribute_condition = "assertion.repository == \"${var.github_repository}\""

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

# --- planner ------------------------------------------------------------------------------------------------------

resource "google_service_account" "planner" {
  account_id   = "planner"
  display_name = "Contrail: terraform plan in CI"
}

resource "google_service_account_iam_member" "planner" {
  service_account_id = google_service_account.planner.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/attribute.repository/${var.github_repository}"
}

resource "google_project_iam_member" "planner" {
  for_each = toset(local.planner_roles)

  project = var.project_id
  role    = each.key
  member  = google_service_account.planner.member
}

resource "google_storage_bucket_iam_member" "planner_state" {
  bucket = var.state_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.planner.member
}

# --- deployer -----------------------------------------------------------------------------------------------------

resource "google_service_account" "deployer" {
  account_id   = "deployer"
  display_name = "Contrail: images and terraform apply in CI"
}

resource "google_service_account_iam_member" "deployer" {
  service_account_id = google_service_account.deployer.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/attribute.environment/${var.environment}"
}

resource "google_project_iam_member" "deployer" {
  for_each = toset(local.deployer_roles)

  project = var.project_id
  role    = each.key
  member  = google_service_account.deployer.member
}

resource "google_project_iam_member" "deployer_accounts" {
  #checkov:skip=CKV_GCP_49:Terraform makes the service accounts; the deployer gets in only from the GitHub environment.
  project = var.project_id
  role    = "roles/iam.serviceAccountAdmin"
  member  = google_service_account.deployer.member
}

resource "google_storage_bucket_iam_member" "deployer_state" {
  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.deployer.member
}

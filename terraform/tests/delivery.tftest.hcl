mock_provider "google" {
  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/1/locations/global/workloadIdentityPools/github" }
  }
}

variables {
  project_id        = "some-project"
  environment       = "prod"
  github_repository = "acme/contrail"
  state_bucket      = "some-project-tfstate"
}

run "federation" {
  # Applied, so that the pool's name, which the members hold, is known.
  command = apply
  module {
    source = "./modules/delivery"
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_condition == "assertion.repository == \"acme/contrail\""
    error_message = "Tokens of other repositories are refused."
  }

  assert {
    condition     = google_service_account_iam_member.deployer.member == "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/attribute.environment/prod"
    error_message = "Only a job in the GitHub environment prod may deploy to prod."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_mapping["attribute.environment"] == "has(assertion.environment) ? assertion.environment : 'none'"
    error_message = "A job outside any environment logs in, as none."
  }

  assert {
    condition     = !anytrue([for role in keys(google_project_iam_member.planner) : endswith(role, "Admin") || endswith(role, "ditor") || endswith(role, ".admin")])
    error_message = "The planner only reads."
  }

  assert {
    condition     = one(google_iam_workload_identity_pool_provider.github.oidc).issuer_uri == "https://token.actions.githubusercontent.com"
    error_message = "GitHub alone issues the tokens."
  }

  assert {
    condition     = google_service_account_iam_member.planner.member == "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github/attribute.repository/acme/contrail"
    error_message = "Only workflows of the repository may plan."
  }

  assert {
    condition     = !anytrue([for role in concat(keys(google_project_iam_member.planner), keys(google_project_iam_member.deployer)) : contains(["roles/owner", "roles/editor", "roles/viewer"], role)])
    error_message = "No basic roles."
  }

  assert {
    condition     = google_storage_bucket_iam_member.planner_state.role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.deployer_state.role == "roles/storage.objectUser"
    error_message = "The planner reads the state, the deployer writes it."
  }

  assert {
    condition     = !anytrue([for role in keys(google_project_iam_member.planner) : contains(["roles/storage.objectViewer", "roles/bigquery.dataViewer", "roles/secretmanager.secretAccessor"], role)])
    error_message = "The planner reads no data and no secret."
  }
}

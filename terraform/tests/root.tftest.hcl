# The whole, as it would be planned for the environment whose -var-file is given.

mock_provider "google" {}

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
      "CONTRAIL_IMAGE_REPOSITORY", "CONTRAIL_LAKE_BUCKET", "CONTRAIL_LANDING_BUCKET", "CONTRAIL_NETWORK", "CONTRAIL_SCRATCH_BUCKET",
      "CONTRAIL_SPARK_ACCOUNT", "CONTRAIL_SQL_CONNECTION", "CONTRAIL_SQL_USER", "CONTRAIL_SUBNETWORK", "CONTRAIL_TEAM",
      "CONTRAIL_TRAIN_ACCOUNT",
    ])
    error_message = "What docs/gcp.md writes into contrail.env."
  }

  assert {
    condition     = local.labels.environment == var.environment && toset(keys(local.labels)) == toset(["app", "environment", "team", "cost_centre"])
    error_message = "Every resource says whose it is and who pays."
  }
}

run "only_stage_and_prod" {
  command = plan
  variables {
    environment = "dev"
  }
  expect_failures = [var.environment]
}

run "someone_is_told" {
  command = plan
  variables {
    alert_emails = []
  }
  expect_failures = [var.alert_emails]
}

run "a_budget_is_a_whole_number" {
  command = plan
  variables {
    monthly_budget = 0.5
  }
  expect_failures = [var.monthly_budget]
}

run "a_repository_has_an_owner" {
  command = plan
  variables {
    github_repository = "contrail"
  }
  expect_failures = [var.github_repository]
}

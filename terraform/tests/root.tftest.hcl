# The whole, as it would be planned for the environment whose -var-file is given.

mock_provider "google" {}

run "plan" {
  command = plan

  assert {
    condition     = alltrue([for use in ["landing", "lake", "artifacts", "scratch"] : startswith(module.storage.uris[use], "gs://${var.project_id}-")])
    error_message = "A bucket of each use, named after the project."
  }

  assert {
    condition     = output.staging_uri != output.warehouse_uri && startswith(output.warehouse_uri, module.storage.uris["lake"])
    error_message = "Staged rows and published rows lie apart in the lake."
  }

  assert {
    condition     = "gs://${google_biglake_iceberg_catalog.lake.name}" == module.storage.uris["lake"]
    error_message = "A catalog over a bucket has the bucket's name."
  }

  assert {
    condition     = output.bigquery_datasets.published != output.bigquery_datasets.analysts
    error_message = "Analysts have a dataset of their own."
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

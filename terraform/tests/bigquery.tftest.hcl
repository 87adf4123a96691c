mock_provider "google" {}

variables {
  project_id = "some-project"
  region     = "europe-west1"
  publisher  = "airflow@example.com"
  readers    = ["engineers@example.com"]
  analysts   = ["analysts@example.com", "engineers@example.com"]
}

run "datasets" {
  command = plan
  module {
    source = "./modules/bigquery"
  }

  assert {
    condition     = !contains([for entry in google_bigquery_dataset.published.access : entry.group_by_email], "analysts@example.com")
    error_message = "Analysts do not read the published tables themselves."
  }

  assert {
    condition = anytrue([
      for entry in google_bigquery_dataset.published.access :
      try(one(one(entry.dataset).dataset).dataset_id, "") == google_bigquery_dataset.analysts.dataset_id
    ])
    error_message = "The analysts' views may read the published tables."
  }

  assert {
    condition = alltrue([
      for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] :
      toset([for entry in dataset.access : entry.user_by_email if entry.role == "WRITER"]) == toset(["airflow@example.com"])
    ])
    error_message = "Only the publisher writes."
  }

  assert {
    condition     = toset([for entry in google_bigquery_dataset.analysts.access : entry.group_by_email if entry.role == "READER"]) == toset(var.analysts)
    error_message = "The analysts' groups read the views."
  }
}

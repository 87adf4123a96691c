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

  assert {
    condition     = alltrue([for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] : dataset.location == "europe-west1"])
    error_message = "The tables are where the data is."
  }

  assert {
    condition     = alltrue([for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] : coalesce(dataset.delete_contents_on_destroy, false) == false])
    error_message = "A dataset with tables is not deleted."
  }

  assert {
    condition     = google_bigquery_dataset.published.max_time_travel_hours == "168"
    error_message = "A table can be read as it was in the last seven days."
  }

  assert {
    condition     = alltrue([for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] : alltrue([for entry in dataset.access : !contains(["allAuthenticatedUsers", "projectReaders", "projectWriters"], coalesce(entry.special_group, "none")) && entry.iam_member == null && entry.domain == null])])
    error_message = "Nobody reads by being in a project, in a domain, or anywhere."
  }

  assert {
    condition     = alltrue([for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] : can(regex("^[A-Za-z0-9_]+$", dataset.dataset_id))])
    error_message = "A dataset has a name that BigQuery allows."
  }
}

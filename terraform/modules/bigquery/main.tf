# Two datasets: the publisher's native tables, and the analysts' views over them.
#
# The publisher makes the tables and the views, because it knows their columns. This module only says who may see what.
# The analysts' whole dataset is authorised on the publisher's. So no view needs a grant of its own, today or when a
# pipeline is added. Only `access` blocks give access, because IAM resources beside them would remove the authorisation.

resource "google_bigquery_dataset" "published" {
  #checkov:skip=CKV_GCP_81:Encrypted at rest with Google's keys; see README, "Keys".
  dataset_id            = "contrail"
  friendly_name         = "Contrail: published tables"
  description           = "Predictions, performance and drift of every pipeline, replaced a day at a time by the publisher."
  location              = var.region
  max_time_travel_hours = "168"

  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  access {
    role          = "WRITER"
    user_by_email = var.publisher
  }

  dynamic "access" {
    for_each = toset(var.readers)

    content {
      role           = "READER"
      group_by_email = access.value
    }
  }

  access {
    dataset {
      target_types = ["VIEWS"]
      dataset {
        project_id = var.project_id
        dataset_id = google_bigquery_dataset.analysts.dataset_id
      }
    }
  }
}

resource "google_bigquery_dataset" "analysts" {
  #checkov:skip=CKV_GCP_81:Encrypted at rest with Google's keys; see README, "Keys".
  dataset_id    = "contrail_analysts"
  friendly_name = "Contrail: for analysts"
  description   = "Documented views over what is published: the latest predictions, how good they were, drift."
  location      = var.region

  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  access {
    role          = "WRITER"
    user_by_email = var.publisher
  }

  dynamic "access" {
    for_each = toset(var.analysts)

    content {
      role           = "READER"
      group_by_email = access.value
    }
  }
}

mock_provider "google" {}

variables {
  project_id = "some-project"
}

run "apis" {
  command = plan
  module {
    source = "./modules/services"
  }

  assert {
    condition = length(setsubtract([
      for name in ["aiplatform", "artifactregistry", "biglake", "bigquery", "billingbudgets", "cloudresourcemanager", "compute", "dataproc", "dataprocrm", "iam",
        "iamcredentials", "iap", "logging", "monitoring", "secretmanager", "servicenetworking", "sqladmin", "storage", "sts",
      ] : "${name}.googleapis.com"
    ], keys(google_project_service.this))) == 0
    error_message = "Every API that Contrail calls is on."
  }

  assert {
    condition     = alltrue([for api in google_project_service.this : can(regex("^[a-z]+\\.googleapis\\.com$", api.service)) && api.project == "some-project"])
    error_message = "An API has its whole name."
  }

  assert {
    condition     = alltrue([for api in google_project_service.this : api.disable_on_destroy == false])
    error_message = "Removing a line never switches an API off, which would delete what it runs."
  }

  assert {
    condition = google_project_iam_audit_config.storage.service == "storage.googleapis.com" && toset([
      for log in google_project_iam_audit_config.storage.audit_log_config : log.log_type
    ]) == toset(["ADMIN_READ", "DATA_WRITE"])
    error_message = "Every write to a bucket is in the audit log."
  }

  assert {
    condition = google_project_iam_audit_config.secrets.service == "secretmanager.googleapis.com" && toset([
      for log in google_project_iam_audit_config.secrets.audit_log_config : log.log_type
    ]) == toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])
    error_message = "Every use of a secret is in the audit log."
  }

  assert {
    condition = alltrue([
      for config in [google_project_iam_audit_config.storage, google_project_iam_audit_config.secrets] :
      alltrue([for log in config.audit_log_config : length(coalesce(log.exempted_members, [])) == 0])
    ])
    error_message = "Nobody is left out of an audit log."
  }
}

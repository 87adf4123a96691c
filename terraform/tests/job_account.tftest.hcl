mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/some-project/serviceAccounts/spark-job@some-project.iam.gserviceaccount.com"
      email  = "spark-job@some-project.iam.gserviceaccount.com"
      member = "serviceAccount:spark-job@some-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id     = "some-project"
  account_id     = "spark-job"
  display_name   = "Spark jobs"
  worker_roles   = ["roles/dataproc.worker"]
  submitter      = "serviceAccount:airflow@some-project.iam.gserviceaccount.com"
  submitter_role = "roles/dataproc.serverlessEditor"
}

run "least_privilege" {
  # Applied, so that the account's address is known.
  command = apply
  module {
    source = "./modules/job_account"
  }

  assert {
    condition     = strcontains(one(google_project_iam_member.worker["roles/dataproc.worker"].condition).expression, "!= \"storage.googleapis.com\"")
    error_message = "A role in the project does not open its buckets."
  }

  assert {
    condition     = google_service_account_iam_member.submitter.service_account_id == google_service_account.this.name && google_service_account_iam_member.submitter.role == "roles/iam.serviceAccountUser"
    error_message = "The submitter acts as this account, not as any in the project."
  }

  assert {
    condition     = google_project_iam_member.submitter.role == "roles/dataproc.serverlessEditor" && google_project_iam_member.submitter.member == var.submitter
    error_message = "The submitter starts jobs with the role that was given."
  }

  assert {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", google_service_account.this.account_id))
    error_message = "The account has a name that Google allows."
  }

  assert {
    condition     = length(google_project_iam_member.worker) == 1 && alltrue([for grant in google_project_iam_member.worker : grant.member == google_service_account.this.member])
    error_message = "The job has its own roles, and nobody else has them."
  }
}

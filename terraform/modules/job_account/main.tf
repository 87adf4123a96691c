# The account that one kind of job runs as, and the right of one submitter to start such jobs.

resource "google_service_account" "this" {
  account_id   = var.account_id
  display_name = var.display_name
}

# roles/dataproc.worker would let the job write every bucket of the project. Instead, each bucket grants
# its own objects. So a job never touches landed files, which nobody can deliver again.
resource "google_project_iam_member" "worker" {
  for_each = toset(var.worker_roles)

  project = var.project_id
  role    = each.key
  member  = google_service_account.this.member

  condition {
    title       = "not-storage"
    description = "Buckets are granted one by one."
    expression  = "resource.service != \"storage.googleapis.com\""
  }
}

resource "google_project_iam_member" "submitter" {
  project = var.project_id
  role    = var.submitter_role
  member  = var.submitter
}

# The grant is on the account itself, not on the project. So the submitter may act as this account and as no other.
resource "google_service_account_iam_member" "submitter" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.serviceAccountUser"
  member             = var.submitter
}

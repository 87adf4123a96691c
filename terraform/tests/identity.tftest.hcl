mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { email = "airflow@example.com", member = "serviceAccount:airflow@example.com" }
  }
}

variables {
  project_id = "some-project"
  groups = {
    engineers  = "group:engineers@example.com"
    scientists = "group:scientists@example.com"
    analysts   = "group:analysts@example.com"
    approvers  = "group:approvers@example.com"
  }
}

run "roles" {
  # Applied, so that the account's address is known.
  command = apply
  module {
    source = "./modules/identity"
  }

  assert {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", google_service_account.airflow.account_id))
    error_message = "The account has a name that Google allows."
  }

  assert {
    condition     = !anytrue([for grant in google_project_iam_member.this : contains(["roles/owner", "roles/editor", "roles/viewer"], grant.role)])
    error_message = "No basic roles, which open everything at once."
  }

  assert {
    condition     = !anytrue([for grant in google_project_iam_member.this : strcontains(grant.role, "roles/iam.") || endswith(lower(grant.role), "admin")])
    error_message = "Nobody here administers, and nobody may act as any account."
  }

  assert {
    condition     = !anytrue([for grant in google_project_iam_member.this : strcontains(grant.role, "storage") || strcontains(grant.role, "bigquery.data")])
    error_message = "A role in the project opens no bucket and no table; these grant for themselves."
  }

  assert {
    condition = alltrue([
      for group in ["analysts", "approvers"] :
      [for grant in google_project_iam_member.this : grant.role if grant.member == var.groups[group]] == ["roles/bigquery.jobUser"]
    ])
    error_message = "Analysts and approvers run queries, and no more."
  }

  assert {
    condition     = !anytrue([for grant in google_project_iam_member.this : contains(["allUsers", "allAuthenticatedUsers"], grant.member)])
    error_message = "Nobody from outside."
  }
}

mock_provider "google" {}

variables {
  region  = "europe-west1"
  readers = { one = {}, two = { job = "serviceAccount:job@example.com" } }
  editor  = "group:engineers@example.com"
}

run "secrets" {
  command = plan
  module {
    source = "./modules/secrets"
  }

  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : secret.deletion_protection])
    error_message = "A secret is not deleted by accident."
  }

  assert {
    condition     = alltrue([for grant in google_secret_manager_secret_iam_member.editor : grant.role == "roles/secretmanager.secretVersionAdder"])
    error_message = "Who sets a value cannot read it."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret.this)) == toset(["one", "two"])
    error_message = "Each secret that was asked for."
  }

  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.this : one(one(one(secret.replication).user_managed).replicas).location == "europe-west1"])
    error_message = "A secret stays in the region."
  }

  assert {
    condition     = alltrue([for grant in google_secret_manager_secret_iam_member.editor : grant.member == var.editor])
    error_message = "Only the editor sets it."
  }

  assert {
    condition     = { for key, grant in google_secret_manager_secret_iam_member.reader : key => grant.member } == { "two job" = "serviceAccount:job@example.com" }
    error_message = "A secret is read by those it names, and by nobody else."
  }
}

mock_provider "google" {}

variables {
  region     = "europe-west1"
  secret_ids = ["one", "two"]
  editor     = "group:engineers@example.com"
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
}

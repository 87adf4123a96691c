# Empty secrets and who may fill them; to read one is left to the project's owners. Values never pass through Terraform:
# they would lie in its state.

resource "google_secret_manager_secret" "this" {
  for_each = toset(var.secret_ids)

  secret_id           = each.key
  deletion_protection = true

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }
}

# To add a version is to change the value; it does not let one read it.
resource "google_secret_manager_secret_iam_member" "editor" {
  for_each = google_secret_manager_secret.this

  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretVersionAdder"
  member    = var.editor
}

# Empty secrets, and who may fill them. Only the project's owners may read one. Values never pass through Terraform,
# because its state would keep them.

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

# Adding a version changes the value. The role does not allow reading it.
resource "google_secret_manager_secret_iam_member" "editor" {
  for_each = google_secret_manager_secret.this

  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretVersionAdder"
  member    = var.editor
}

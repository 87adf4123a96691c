# Empty secrets, who may fill them, and who may read one besides the project's owners. Values never pass through
# Terraform, because its state would keep them.

resource "google_secret_manager_secret" "this" {
  for_each = var.readers

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

locals {
  readings = merge([
    for secret, members in var.readers : { for name, member in members : "${secret} ${name}" => { secret = secret, member = member } }
  ]...)
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.readings

  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value.member
}

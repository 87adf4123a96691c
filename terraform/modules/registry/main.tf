# Images of Airflow and of the jobs.

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Encrypted at rest with Google's keys; see README, "Keys".
  repository_id = "contrail"
  location      = var.region
  format        = "DOCKER"
  description   = "Contrail's images, tagged by commit."

  # Tags may be moved here, because a repository whose tags are immutable never deletes an image that has one. What runs is
  # named by its digest, the deployment refuses a commit's tag that means another digest, and the deployer alone pushes.
  docker_config {
    immutable_tags = false
  }

  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "14d"
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "365d"
    }
  }

  # A KEEP policy wins over DELETE, so there is always an image to roll back to.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "this" {
  for_each = merge(
    { for index, member in var.readers : "reader ${index}" => { role = "roles/artifactregistry.reader", member = member } },
    { for index, member in var.writers : "writer ${index}" => { role = "roles/artifactregistry.writer", member = member } },
  )

  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = each.value.role
  member     = each.value.member
}

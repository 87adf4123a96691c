mock_provider "google" {}

variables {
  region  = "europe-west1"
  readers = ["serviceAccount:airflow@example.com", "serviceAccount:spark@example.com"]
  writers = ["serviceAccount:deployer@example.com"]
}

run "images" {
  command = plan
  module {
    source = "./modules/registry"
  }

  assert {
    condition     = google_artifact_registry_repository.images.format == "DOCKER" && google_artifact_registry_repository.images.location == "europe-west1"
    error_message = "A repository of container images, where the jobs run."
  }

  # The provider's page of the resource: the flag "prevents all tags from being modified, moved or deleted".
  assert {
    condition     = one(google_artifact_registry_repository.images.docker_config).immutable_tags == false
    error_message = "Immutable tags would keep every tagged image for ever."
  }

  assert {
    condition = { for policy in google_artifact_registry_repository.images.cleanup_policies : policy.id => try(one(policy.condition).tag_state, "kept") if policy.action == "DELETE" } == {
      "delete-untagged" = "UNTAGGED"
      "delete-old"      = "ANY"
    }
    error_message = "Old images go, tagged or not."
  }

  assert {
    condition     = [for policy in google_artifact_registry_repository.images.cleanup_policies : one(policy.most_recent_versions).keep_count if policy.action == "KEEP"] == [20]
    error_message = "There are always images to go back to."
  }

  assert {
    condition     = coalesce(google_artifact_registry_repository.images.cleanup_policy_dry_run, false) == false
    error_message = "The policies delete; they do not only say what they would delete."
  }

  assert {
    condition = toset([for grant in google_artifact_registry_repository_iam_member.this : "${grant.member} ${grant.role}"]) == toset([
      "serviceAccount:airflow@example.com roles/artifactregistry.reader",
      "serviceAccount:spark@example.com roles/artifactregistry.reader",
      "serviceAccount:deployer@example.com roles/artifactregistry.writer",
    ])
    error_message = "The deployer alone pushes."
  }
}

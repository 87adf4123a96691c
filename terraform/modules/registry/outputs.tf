output "uri" {
  description = "The repository, as image names begin."
  value       = google_artifact_registry_repository.images.registry_uri
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value       = [for grant in google_artifact_registry_repository_iam_member.this : "registry: ${grant.member} ${grant.role}"]
}

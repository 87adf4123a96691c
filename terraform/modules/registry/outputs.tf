output "uri" {
  description = "The repository, as image names begin."
  value       = google_artifact_registry_repository.images.registry_uri
}

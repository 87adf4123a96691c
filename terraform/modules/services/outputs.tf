output "enabled" {
  description = "The APIs that are on."
  value       = keys(google_project_service.this)
}

output "secret_ids" {
  description = "The secrets that need a value before Airflow starts."
  value       = keys(google_secret_manager_secret.this)
}

output "network_name" {
  description = "Its name in the project."
  value       = google_compute_network.this.name
}

output "network_id" {
  description = "projects/…/global/networks/…"
  value       = google_compute_network.this.id
}

output "subnet_id" {
  description = "projects/…/regions/…/subnetworks/…"
  value       = google_compute_subnetwork.jobs.id
}

output "mlflow_uri" {
  description = "Where MLflow answers, on the machine that has the address contrail-airflow."
  value       = "http://${google_compute_address.airflow.address}:${var.mlflow_port}"
}

output "services_range" {
  description = "Name of the range of addresses for Cloud SQL."
  value       = google_compute_global_address.services.name
}

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

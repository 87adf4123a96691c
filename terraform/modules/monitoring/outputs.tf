output "published_metric" {
  description = "The log-based metric that counts published partitions."
  value       = google_logging_metric.published.name
}

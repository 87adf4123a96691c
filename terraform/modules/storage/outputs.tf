output "uris" {
  description = "gs:// addresses by use."
  value       = { for use, bucket in google_storage_bucket.this : use => "gs://${bucket.name}" }
}

output "connection_name" {
  description = "project:region:instance, for the Cloud SQL Auth Proxy."
  value       = google_sql_database_instance.this.connection_name
}

output "user_name" {
  description = "The user in Postgres."
  value       = google_sql_user.this.name
}

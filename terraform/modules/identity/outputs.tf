output "airflow" {
  description = "The orchestrator's account: its email and its IAM member."
  value = {
    email  = google_service_account.airflow.email
    member = google_service_account.airflow.member
  }
}

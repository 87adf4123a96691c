output "airflow" {
  description = "The orchestrator's account: its email and its IAM member."
  value = {
    email  = google_service_account.airflow.email
    member = google_service_account.airflow.member
  }
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value       = [for grant in google_project_iam_member.this : "project: ${grant.member} ${grant.role}"]
}

output "account" {
  description = "The job's account: its email and its IAM member."
  value = {
    email  = google_service_account.this.email
    member = google_service_account.this.member
  }
}

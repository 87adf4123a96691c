output "account" {
  description = "The job's account: its email and its IAM member."
  value = {
    email  = google_service_account.this.email
    member = google_service_account.this.member
  }
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value = concat(
    [for grant in google_project_iam_member.worker : "project: ${grant.member} ${grant.role} ${one(grant.condition).title}"],
    ["project: ${google_project_iam_member.submitter.member} ${google_project_iam_member.submitter.role}"],
    ["account ${var.account_id}: ${google_service_account_iam_member.submitter.member} ${google_service_account_iam_member.submitter.role}"],
  )
}

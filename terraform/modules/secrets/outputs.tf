output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value = [
    for grant in concat(values(google_secret_manager_secret_iam_member.editor), values(google_secret_manager_secret_iam_member.reader)) :
    "secret ${grant.secret_id}: ${grant.member} ${grant.role}"
  ]
}

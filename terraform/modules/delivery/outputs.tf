output "planner" {
  description = "The account of `terraform plan`: its email and its IAM member."
  value = {
    email  = google_service_account.planner.email
    member = google_service_account.planner.member
  }
}

output "deployer" {
  description = "The account of `terraform apply`: its email and its IAM member."
  value = {
    email  = google_service_account.deployer.email
    member = google_service_account.deployer.member
  }
}

output "workload_identity_provider" {
  description = "projects/…/locations/global/workloadIdentityPools/github/providers/github"
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value = concat(
    [
      for grant in concat(values(google_project_iam_member.planner), values(google_project_iam_member.deployer), [google_project_iam_member.deployer_accounts]) :
      "project: ${grant.member} ${grant.role}"
    ],
    [
      for grant in [google_storage_bucket_iam_member.planner_state, google_storage_bucket_iam_member.deployer_state] :
      "${grant.bucket}: ${grant.member} ${grant.role}"
    ],
    [
      for account, grant in { planner = google_service_account_iam_member.planner, deployer = google_service_account_iam_member.deployer } :
      "account ${account}: ${grant.member} ${grant.role}"
    ],
  )
}

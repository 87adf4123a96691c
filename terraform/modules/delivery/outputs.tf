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

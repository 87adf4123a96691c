terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "8.7.0" # the one whose schema `make check-infra` checks against
    }
  }

  # `terraform init` names the bucket: environments/<environment>.gcs.tfbackend.
  backend "gcs" {}
}

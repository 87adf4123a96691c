terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Which bucket is said at `terraform init`: environments/<environment>.gcs.tfbackend.
  backend "gcs" {}
}

variable "project_id" {
  description = "The project that is deployed to."
  type        = string
}

variable "environment" {
  description = "The GitHub environment whose jobs may deploy."
  type        = string
}

variable "github_repository" {
  description = "owner/name"
  type        = string
}

variable "state_bucket" {
  description = "The bucket of Terraform's state."
  type        = string
}

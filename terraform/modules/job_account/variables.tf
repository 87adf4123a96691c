variable "project_id" {
  description = "The project in which the jobs run."
  type        = string
}

variable "account_id" {
  description = "The part of the account's address before the @."
  type        = string
}

variable "display_name" {
  description = "What runs under the account."
  type        = string
}

variable "worker_roles" {
  description = "Roles that the job itself needs in the project; they never reach storage."
  type        = list(string)
}

variable "submitter" {
  description = "The IAM member that starts the jobs."
  type        = string
}

variable "submitter_role" {
  description = "The role with which it starts them."
  type        = string
}

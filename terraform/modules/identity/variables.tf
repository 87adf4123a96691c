variable "project_id" {
  description = "The project in which the roles are granted."
  type        = string
}

variable "groups" {
  description = "The four groups as IAM members (group:…)."
  type = object({
    engineers  = string
    scientists = string
    analysts   = string
    approvers  = string
  })
}

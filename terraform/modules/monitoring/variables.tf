variable "project_id" {
  description = "The project that is watched."
  type        = string
}

variable "environment" {
  description = "For the alerts' names."
  type        = string
}

variable "labels" {
  description = "Labels of policies and channels; the provider's default labels do not reach `user_labels`."
  type        = map(string)
}

variable "emails" {
  description = "Who is told."
  type        = set(string)
}

variable "pipelines" {
  description = "Pipelines that publish every day."
  type        = set(string)
}

variable "billing_account" {
  description = "The account that the budget belongs to."
  type        = string
}

variable "monthly_budget" {
  description = "Whole units of the account's currency."
  type        = number
}

variable "project_id" {
  description = "The project that the alerts watch."
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
  description = "Mail addresses that receive the alerts."
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

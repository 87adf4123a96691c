variable "region" {
  description = "Where the values lie."
  type        = string
}

variable "secret_ids" {
  description = "The secrets' names."
  type        = list(string)
}

variable "editor" {
  description = "The IAM member that sets them."
  type        = string
}

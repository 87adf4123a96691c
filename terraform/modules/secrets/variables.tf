variable "region" {
  description = "Where the values lie."
  type        = string
}

variable "readers" {
  description = "The secrets' names, and for each the IAM members that may read its value, by a name of ours."
  type        = map(map(string))
}

variable "editor" {
  description = "The IAM member that sets them."
  type        = string
}

variable "region" {
  description = "Where the instance and its backups are."
  type        = string
}

variable "network_id" {
  description = "The network in which it has its private address."
  type        = string
}

variable "ip_range" {
  description = "Name of the range of addresses that the instance uses."
  type        = string
}

variable "settings" {
  description = "Size and safety."
  type = object({
    tier                = string
    availability_type   = string
    backups_kept        = number
    deletion_protection = bool
  })
}

variable "labels" {
  description = "Labels of the instance; the provider's default labels do not reach `user_labels`."
  type        = map(string)
}

variable "databases" {
  description = "The databases in it."
  type        = list(string)
}

variable "user" {
  description = "Mail address of the service account that logs in."
  type        = string
}

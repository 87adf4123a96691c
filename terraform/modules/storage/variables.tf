variable "name_prefix" {
  description = "Bucket names are global, so they begin with the project's id."
  type        = string
}

variable "region" {
  description = "Where the objects lie."
  type        = string
}

variable "buckets" {
  description = "By name: how long old versions are kept, what expires, and who may do what."
  type = map(object({
    noncurrent_days = number
    nearline_days   = optional(number)
    # Objects under a prefix ("" is all) are deleted this many days after they were written.
    expire_prefixes = optional(map(number), {})
    # By a name of our own, since the members themselves are not known before the accounts exist.
    access = map(object({
      role   = string
      member = string
      prefix = optional(string, "")
    }))
  }))
}

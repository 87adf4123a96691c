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
    # By a name of our own, since the members themselves are not known before the accounts exist. Prefixes again; who writes
    # reads there too, and what is under `except` is not among what is written.
    access = map(object({
      member = string
      reads  = optional(list(string), [])
      writes = optional(list(string), [])
      except = optional(list(string), [])
    }))
  }))

  validation {
    condition = alltrue(flatten([
      for bucket in values(var.buckets) : [for access in values(bucket.access) : length(access.writes) + length(access.except) <= 12]
    ]))
    error_message = "IAM allows a condition 12 logical operators: say it with fewer prefixes."
  }
}

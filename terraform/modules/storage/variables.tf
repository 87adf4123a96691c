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
    # Without it the bucket keeps no versions.
    noncurrent_days = optional(number)
    nearline_days   = optional(number)
    # Objects under a prefix ("" is all) are deleted this many days after they were written.
    expire_prefixes = optional(map(number), {})
    # The keys are names of our own, because Terraform does not know the members before the accounts exist. The lists
    # are prefixes. A member that writes also reads there. It does not write under the prefixes in `except`.
    access = map(object({
      member = string
      reads  = optional(list(string), [])
      writes = optional(list(string), [])
      except = optional(list(string), [])
    }))
  }))

  validation {
    condition     = alltrue([for bucket in values(var.buckets) : bucket.noncurrent_days == null || length(bucket.expire_prefixes) == 0])
    error_message = "What expires lies in a bucket without versions. Beside what lasts, a prefix may meet the name of a pipeline."
  }

  validation {
    condition = alltrue(flatten([
      for bucket in values(var.buckets) : [for access in values(bucket.access) : length(access.writes) + length(access.except) <= 12]
    ]))
    error_message = "IAM allows 12 logical operators in a condition: use fewer prefixes."
  }
}

variable "project_id" {
  description = "The Google Cloud project. Each environment has one of its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "environment" {
  description = "The name of the environment, as in include/environments/<name>.yaml."
  type        = string

  validation {
    condition     = contains(["stage", "prod"], var.environment)
    error_message = "The environments in the cloud are stage and prod; dev is a laptop and needs no Terraform."
  }
}

variable "region" {
  description = "The region of everything: data, jobs and database stay together."
  type        = string
}

variable "team" {
  description = "The team that owns it, for the label `team`."
  type        = string
}

variable "cost_centre" {
  description = "Who pays for it, for the label `cost_centre`."
  type        = string
}

variable "groups" {
  description = "Mail addresses of the Google groups of the four roles."
  type = object({
    engineers  = string
    scientists = string
    analysts   = string
    approvers  = string
  })

  validation {
    condition     = alltrue([for address in values(var.groups) : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "Give each group by its mail address."
  }
}

variable "pipelines" {
  description = "The folders in include/pipelines whose pipelines run every day. An alert watches each for its daily partition, and its backfills may keep their records."
  type        = set(string)
}

variable "subnet_cidr" {
  description = "Addresses of the subnet in which Spark runs. Dataproc needs a free address for each worker."
  type        = string
  default     = "10.10.0.0/20"

  validation {
    condition     = can(cidrhost(var.subnet_cidr, 0))
    error_message = "A CIDR range, as 10.10.0.0/20."
  }
}

variable "internet_access" {
  description = "Whether machines in the subnet reach the internet, by Cloud NAT. The machine that runs Airflow fetches packages and images by it. Spark jobs then reach the internet too."
  type        = bool
  default     = false
}

variable "database" {
  description = "Size and safety of the Postgres instance."
  type = object({
    tier                = string
    availability_type   = string
    backups_kept        = number
    deletion_protection = bool
  })

  validation {
    condition     = contains(["ZONAL", "REGIONAL"], var.database.availability_type)
    error_message = "availability_type is ZONAL (one zone) or REGIONAL (a standby in another zone)."
  }
}

variable "alert_emails" {
  description = "Mail addresses that receive the alerts and the budget's notices."
  type        = set(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "Somebody must receive the alerts: give at least one address."
  }
}

variable "billing_account" {
  description = "The billing account of the project, as 012345-6789AB-CDEF01. The budget belongs to it."
  type        = string
}

variable "monthly_budget" {
  description = "What a month may cost, in whole units of the billing account's currency."
  type        = number

  validation {
    condition     = var.monthly_budget > 0 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "A whole number above 0."
  }
}

variable "github_repository" {
  description = "The repository that may deploy, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "As owner/name."
  }
}

variable "state_bucket" {
  description = "The bucket of this Terraform's state, which CI reads for a plan and writes for an apply."
  type        = string
}

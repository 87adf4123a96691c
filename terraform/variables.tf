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

  validation {
    condition     = can(regex("^(africa|asia|australia|europe|me|northamerica|southamerica|us)-[a-z]+[1-9][0-9]?$", var.region))
    error_message = "One region, as europe-west1: neither a zone (europe-west1-b) nor a multi-region (EU)."
  }
}

variable "team" {
  description = "The team that owns it, for the label `team`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{0,62}$", var.team))
    error_message = "A label's value has 1 to 63 lower-case letters, digits, hyphens and underscores."
  }
}

variable "cost_centre" {
  description = "Who pays for it, for the label `cost-centre`."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{0,62}$", var.cost_centre))
    error_message = "A label's value has 1 to 63 lower-case letters, digits, hyphens and underscores."
  }
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
    condition     = alltrue([for address in values(var.groups) : can(regex("^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$", address))])
    error_message = "Give each group by its mail address, without `group:`."
  }
}

variable "pipelines" {
  description = "The folders in include/pipelines whose pipelines run every day. An alert watches each for its daily partition, and its backfills may keep their records."
  type        = set(string)

  validation {
    condition     = length(var.pipelines) > 0 && alltrue([for name in var.pipelines : can(regex("^[a-z][a-z0-9]*(_[a-z0-9]+)*$", name)) && length(name) <= 40])
    error_message = "At least one; each is the name of a folder in include/pipelines, as flight_delay."
  }
}

variable "subnet_cidr" {
  description = "Addresses of the subnet in which Spark runs. Dataproc needs a free address for each worker."
  type        = string
  default     = "10.10.0.0/20"

  validation {
    condition     = try(cidrsubnet(var.subnet_cidr, 0, 0) == var.subnet_cidr, false)
    error_message = "A CIDR range without bits of a host, as 10.10.0.0/20."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.subnet_cidr))
    error_message = "Private addresses: within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16."
  }

  validation {
    condition     = try(tonumber(split("/", var.subnet_cidr)[1]) >= 16 && tonumber(split("/", var.subnet_cidr)[1]) <= 26, false)
    error_message = "From /16 to /26: the machine, and an address for each worker of each batch at the same time."
  }
}

variable "vertex_prefix" {
  description = "Addresses of Vertex AI's jobs, as the length of a prefix: 18 has room for 15 jobs at once, 17 for 31, 16 for 63."
  type        = number
  default     = 18

  # https://cloud.google.com/vertex-ai/docs/training/using-private-ip, "Reserve IP ranges", read in 2026-11.
  validation {
    condition     = contains([16, 17, 18], var.vertex_prefix)
    error_message = "Vertex AI documents ranges of /16, /17 and /18."
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

  validation {
    condition     = can(regex("^db-custom-[0-9]+-[0-9]+$", var.database.tier))
    error_message = "As db-custom-2-7680: vCPUs, and MB of memory. Cloud SQL promises nothing for a shared core."
  }

  # Cloud SQL, "Instance settings": 1 vCPU or an even number; 0.9 to 6.5 GB for each, in steps of 256 MB, at least 3.75 GB.
  validation {
    condition = try(alltrue([
      for size in [regex("^db-custom-(?P<cpus>[0-9]+)-(?P<mb>[0-9]+)$", var.database.tier)] :
      (size.cpus == "1" || tonumber(size.cpus) % 2 == 0) && tonumber(size.cpus) <= 96 && tonumber(size.mb) % 256 == 0 &&
      tonumber(size.mb) >= 3840 && tonumber(size.mb) >= 0.9 * 1024 * tonumber(size.cpus) && tonumber(size.mb) <= 6.5 * 1024 * tonumber(size.cpus)
    ]), false)
    error_message = "Cloud SQL has no machine with so many vCPUs and so much memory."
  }

  validation {
    condition     = var.database.backups_kept >= 7 && var.database.backups_kept <= 365 && floor(var.database.backups_kept) == var.database.backups_kept
    error_message = "Keep 7 to 365 daily backups: the logs for point-in-time recovery are kept for 7 days."
  }
}

variable "alert_emails" {
  description = "Mail addresses that receive the alerts and the budget's notices."
  type        = set(string)

  validation {
    condition     = length(var.alert_emails) > 0 && length(var.alert_emails) <= 5
    error_message = "Give one to five addresses, for a budget tells no more than five. An address may be a mailing list."
  }

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$", address))])
    error_message = "Each is one mail address."
  }
}

variable "billing_account" {
  description = "The billing account of the project, as 012345-6789AB-CDEF01. The budget belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "As 012345-6789AB-CDEF01, without `billingAccounts/`."
  }
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
    error_message = "As owner/name, without https://."
  }
}

variable "state_bucket" {
  description = "The bucket of this Terraform's state, which CI reads for a plan and writes for an apply."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "A bucket's name, without gs://."
  }
}

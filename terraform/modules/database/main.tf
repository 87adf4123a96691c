# One Postgres instance for Airflow's metadata and MLflow's registry: private address, backups with point-in-time
# recovery, and no password. The one user is the orchestrator's account, which logs in by IAM.

resource "google_sql_database_instance" "this" {
  #checkov:skip=CKV2_GCP_13:log_duration writes a line for every statement; Query Insights below measures them without.
  name                = "contrail"
  region              = var.region
  database_version    = "POSTGRES_18"
  deletion_protection = var.settings.deletion_protection

  settings {
    edition                     = "ENTERPRISE"
    tier                        = var.settings.tier
    availability_type           = var.settings.availability_type
    disk_autoresize             = true
    deletion_protection_enabled = var.settings.deletion_protection
    retain_backups_on_delete    = true
    user_labels                 = var.labels

    # Only the Auth Proxy or a connector. It brings TLS on both sides and the login by IAM.
    connector_enforcement = "REQUIRED"

    ip_configuration {
      ipv4_enabled       = false
      private_network    = var.network_id
      allocated_ip_range = var.ip_range
      ssl_mode           = "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    }

    backup_configuration {
      enabled                        = true
      location                       = var.region
      start_time                     = "22:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.settings.backups_kept
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      day          = 7
      hour         = 13
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    # Login by IAM instead of a password.
    database_flags {
      name  = "cloudsql.iam_authentication"
      value = "on"
    }

    # Logs who connected, what changed the schema or a role, and what waited or failed. It never logs rows.
    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }
    database_flags {
      name  = "pgaudit.log"
      value = "ddl,role"
    }
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_hostname"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }
    database_flags {
      name  = "log_min_messages"
      value = "error"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
    database_flags {
      name  = "log_temp_files"
      value = "0"
    }
  }
}

resource "google_sql_database" "this" {
  for_each = toset(var.databases)

  name     = each.key
  instance = google_sql_database_instance.this.name

  # Postgres refuses to drop a database that someone uses. It goes when the instance goes.
  deletion_policy = "ABANDON"
}

# The role is cloudsqlsuperuser, because an IAM user owns nothing and may create nothing in a new database. The instance
# serves this one account. Give MLflow a user of its own when others may log in as it.
resource "google_sql_user" "this" {
  # Postgres limits user names, so this one leaves out the domain that all such accounts share.
  name            = trimsuffix(var.user, ".gserviceaccount.com")
  instance        = google_sql_database_instance.this.name
  type            = "CLOUD_IAM_SERVICE_ACCOUNT"
  database_roles  = ["cloudsqlsuperuser"]
  deletion_policy = "ABANDON"
}

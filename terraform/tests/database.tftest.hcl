mock_provider "google" {}

variables {
  region     = "europe-west1"
  network_id = "projects/some-project/global/networks/contrail"
  ip_range   = "contrail-services"
  settings = {
    tier                = "db-custom-1-3840"
    availability_type   = "ZONAL"
    backups_kept        = 7
    deletion_protection = true
  }
  labels    = { app = "contrail" }
  databases = ["airflow", "mlflow"]
  user      = "airflow@some-project.iam.gserviceaccount.com"
}

run "instance" {
  command = plan
  module {
    source = "./modules/database"
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].ip_configuration).ipv4_enabled == false
    error_message = "No public address."
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].ip_configuration).allocated_ip_range == "contrail-services"
    error_message = "Its address is not one of Vertex AI's jobs."
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].backup_configuration).point_in_time_recovery_enabled
    error_message = "Point-in-time recovery is on."
  }

  assert {
    condition     = google_sql_user.this.name == "airflow@some-project.iam" && google_sql_user.this.password == null
    error_message = "The orchestrator's account logs in by IAM, without a password."
  }

  assert {
    condition     = toset(keys(google_sql_database.this)) == toset(var.databases)
    error_message = "A database each for Airflow and MLflow."
  }

  assert {
    condition     = google_sql_database_instance.this.deletion_protection && google_sql_database_instance.this.settings[0].deletion_protection_enabled
    error_message = "Neither Terraform nor Google deletes it by accident."
  }

  assert {
    condition     = startswith(google_sql_database_instance.this.database_version, "POSTGRES_") && google_sql_database_instance.this.settings[0].edition == "ENTERPRISE"
    error_message = "Postgres, of the edition whose sizes the variable checks."
  }

  assert {
    condition     = google_sql_database_instance.this.region == "europe-west1" && one(google_sql_database_instance.this.settings[0].backup_configuration).location == "europe-west1"
    error_message = "The instance and its backups stay in the region."
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].backup_configuration).enabled && one(one(google_sql_database_instance.this.settings[0].backup_configuration).backup_retention_settings).retained_backups == 7
    error_message = "As many backups are kept as were asked for."
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].backup_configuration).transaction_log_retention_days == 7 && google_sql_database_instance.this.settings[0].retain_backups_on_delete
    error_message = "Seven days of logs; the backups outlive the instance."
  }

  assert {
    condition     = google_sql_database_instance.this.settings[0].connector_enforcement == "REQUIRED" && one(google_sql_database_instance.this.settings[0].ip_configuration).ssl_mode == "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"
    error_message = "Only connectors connect, encrypted on both sides."
  }

  assert {
    condition     = one(google_sql_database_instance.this.settings[0].ip_configuration).private_network == var.network_id && length(one(google_sql_database_instance.this.settings[0].ip_configuration).authorized_networks) == 0
    error_message = "Reached from this network alone."
  }

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["cloudsql.iam_authentication"] == "on"
    error_message = "Accounts log in by IAM."
  }

  assert {
    condition     = { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["pgaudit.log"] == "ddl,role" && { for flag in google_sql_database_instance.this.settings[0].database_flags : flag.name => flag.value }["log_connections"] == "on"
    error_message = "Who connected and who changed a role is logged."
  }

  assert {
    condition     = google_sql_database_instance.this.settings[0].user_labels == tomap({ app = "contrail" })
    error_message = "The bill says whose it is."
  }

  assert {
    condition     = google_sql_database_instance.this.settings[0].tier == "db-custom-1-3840" && google_sql_database_instance.this.settings[0].availability_type == "ZONAL" && google_sql_database_instance.this.settings[0].disk_autoresize
    error_message = "As large as was asked for, with a disk that grows."
  }

  assert {
    condition     = google_sql_user.this.type == "CLOUD_IAM_SERVICE_ACCOUNT"
    error_message = "The user is an account of the project."
  }
}

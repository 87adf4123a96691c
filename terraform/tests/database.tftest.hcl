mock_provider "google" {}

variables {
  region     = "europe-west1"
  network_id = "projects/some-project/global/networks/contrail"
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
}

# What include/environments/<environment>.yaml and the Airflow deployment need to know.

output "service_accounts" {
  description = "Mail addresses of the accounts: airflow runs the orchestrator, and its jobs run as the others."
  value = {
    airflow  = module.identity.airflow.email
    spark    = module.dataproc.account.email
    train    = module.vertex.account.email
    deployer = module.delivery.deployer.email
    planner  = module.delivery.planner.email
  }
}

output "image_repository" {
  description = "Where images are pushed and pulled: <this>/<image>:<tag>."
  value       = module.registry.uri
}

output "workload_identity_provider" {
  description = "What GitHub Actions logs in with; there are no keys."
  value       = module.delivery.workload_identity_provider
}

output "environment" {
  description = "The environment variables that include/environments/<environment>.yaml and docker-compose.gcp.yaml need."
  value = {
    CONTRAIL_GCP_PROJECT      = var.project_id
    CONTRAIL_GCP_REGION       = var.region
    CONTRAIL_LANDING_BUCKET   = trimprefix(module.storage.uris["landing"], "gs://")
    CONTRAIL_LAKE_BUCKET      = trimprefix(module.storage.uris["lake"], "gs://")
    CONTRAIL_ARTIFACTS_BUCKET = trimprefix(module.storage.uris["artifacts"], "gs://")
    CONTRAIL_SCRATCH_BUCKET   = trimprefix(module.storage.uris["scratch"], "gs://")
    CONTRAIL_CATALOG_URI      = "https://biglake.googleapis.com/iceberg/v1/restcatalog"
    CONTRAIL_SPARK_ACCOUNT    = module.dataproc.account.email
    CONTRAIL_TRAIN_ACCOUNT    = module.vertex.account.email
    CONTRAIL_SUBNETWORK       = module.network.subnet_id
    CONTRAIL_NETWORK          = "projects/${data.google_project.this.number}/global/networks/${module.network.network_name}" # Vertex AI needs the number
    CONTRAIL_TEAM             = var.team
    CONTRAIL_COST_CENTRE      = var.cost_centre
    CONTRAIL_MLFLOW_URI       = module.network.mlflow_uri
    CONTRAIL_IMAGE_REPOSITORY = module.registry.uri
    CONTRAIL_SQL_CONNECTION   = module.database.connection_name
    CONTRAIL_SQL_USER         = module.database.user_name
  }
}

# One environment of Contrail in one project. The root only wires modules; README.md says what each is for.

locals {
  labels = {
    app         = "contrail"
    environment = var.environment
    team        = var.team
    # As jobs have it: Dataproc refuses an underscore in a label.
    "cost-centre" = var.cost_centre
  }

  # For BigLake's Iceberg catalog, which counts calls on the caller's project.
  catalog_roles = ["roles/biglake.editor", "roles/serviceusage.serviceUsageConsumer"]

  # The folders under the artifacts' jobs/ that only Airflow writes: the code of jobs, and the receipts of their costs.
  airflows_own = ["jobs/code/", "jobs/costs/"]

  # The agent with which Dataproc's runtimes since 3.0 prepare their nodes: it pulls the job's image.
  node_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-dataprocrmnode.iam.gserviceaccount.com"

  groups = { for role, address in var.groups : role => "group:${address}" }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = local.labels

  # The budget's API bills its calls to the caller's project, which a person's own credentials do not name.
  billing_project       = var.project_id
  user_project_override = true
}

module "services" {
  source = "./modules/services"

  project_id = var.project_id
}

module "network" {
  source = "./modules/network"

  region        = var.region
  subnet_cidr   = var.subnet_cidr
  vertex_prefix = var.vertex_prefix
  mlflow_port   = 5000
  internet      = var.internet_access

  depends_on = [module.services]
}

data "google_project" "this" {
  project_id = var.project_id
}

module "identity" {
  source = "./modules/identity"

  project_id = var.project_id
  groups     = local.groups

  depends_on = [module.services]
}

# --- jobs: the account under which each kind runs, and who may start it ------------------------------------------

module "dataproc" {
  source = "./modules/job_account"

  project_id   = var.project_id
  account_id   = "spark-job"
  display_name = "Contrail Spark jobs on Dataproc Serverless"
  submitter    = module.identity.airflow.member

  submitter_role = "roles/dataproc.serverlessEditor"
  worker_roles   = concat(["roles/dataproc.worker"], local.catalog_roles)

  depends_on = [module.services]
}

module "vertex" {
  source = "./modules/job_account"

  project_id   = var.project_id
  account_id   = "train-job"
  display_name = "Contrail training jobs on Vertex AI"
  submitter    = module.identity.airflow.member

  submitter_role = google_project_iam_custom_role.vertex_submitter.id
  worker_roles   = concat(["roles/logging.logWriter"], local.catalog_roles)

  depends_on = [module.services]
}

# roles/aiplatform.user would also open models, endpoints, notebooks and data sets.
resource "google_project_iam_custom_role" "vertex_submitter" {
  role_id     = "contrailVertexSubmitter"
  title       = "Contrail: submit Vertex AI custom jobs"
  description = "Create, watch and cancel custom jobs; nothing else of Vertex AI."
  permissions = [
    "aiplatform.customJobs.cancel",
    "aiplatform.customJobs.create",
    "aiplatform.customJobs.get",
    "aiplatform.customJobs.list",
  ]

  depends_on = [module.services]
}

# --- data ---------------------------------------------------------------------------------------------------------

module "storage" {
  source = "./modules/storage"

  name_prefix = var.project_id
  region      = var.region

  buckets = {
    # Nobody can deliver landed files again. So they are kept, later in cheaper storage. Jobs read validated rows, which
    # are in the lake.
    landing = {
      noncurrent_days = 90
      nearline_days   = 90
      access = {
        airflow    = { member = module.identity.airflow.member, writes = [""] }
        engineers  = { member = local.groups.engineers, writes = [""] }
        scientists = { member = local.groups.scientists, reads = [""] }
      }
    }

    # The Iceberg warehouse. A stage audits and publishes its rows where it runs, and the catalog decides where a table
    # lies. So no prefix could keep a job from the tables of others. Iceberg keeps its own history, and old versions are
    # a short safety net.
    lake = {
      noncurrent_days = 7
      access = {
        airflow    = { member = module.identity.airflow.member, writes = [""] }
        spark      = { member = module.dataproc.account.member, writes = [""] }
        train      = { member = module.vertex.account.member, writes = [""] }
        engineers  = { member = local.groups.engineers, reads = [""] }
        scientists = { member = local.groups.scientists, reads = [""] }
      }
    }

    # MLflow's artifacts, code wheels, reports, DVC's remote. A job leaves its result and its log under jobs/. A
    # backfill's job also reads the costs of earlier jobs and keeps the backfill's record.
    artifacts = {
      noncurrent_days = 90
      access = {
        airflow = { member = module.identity.airflow.member, writes = [""] }
        spark = {
          member = module.dataproc.account.member
          reads  = local.airflows_own
          writes = concat(["jobs/", "lineage/"], [for name in sort(var.pipelines) : "reports/${name}/backfills/"])
          except = local.airflows_own
        }
        train = {
          member = module.vertex.account.member
          reads  = ["jobs/code/"]
          writes = ["jobs/", "lineage/", "mlflow/", "dvc/"]
          except = local.airflows_own
        }
        engineers  = { member = local.groups.engineers, reads = [""] }
        scientists = { member = local.groups.scientists, reads = [""] }
        approvers  = { member = local.groups.approvers, reads = ["reports/", "mlflow/"] }
      }
    }

    # Rows that are not published yet. Each run makes them anew, so old versions would only cost.
    scratch = {
      expire_prefixes = { "" = 14 }
      access = {
        airflow   = { member = module.identity.airflow.member, writes = [""] }
        spark     = { member = module.dataproc.account.member, writes = ["staging/"] }
        train     = { member = module.vertex.account.member, writes = ["staging/"] }
        engineers = { member = local.groups.engineers, reads = [""] }
      }
    }
  }

  depends_on = [module.services]
}

# The lake's Iceberg catalog in BigLake. A catalog of this type must have the name of its bucket. Stages read and write
# the files with their own accounts.
resource "google_biglake_iceberg_catalog" "lake" {
  name            = trimprefix(module.storage.uris["lake"], "gs://")
  catalog_type    = "CATALOG_TYPE_GCS_BUCKET"
  credential_mode = "CREDENTIAL_MODE_END_USER"
  deletion_policy = "PREVENT"

  depends_on = [module.services]
}

module "bigquery" {
  source = "./modules/bigquery"

  project_id = var.project_id
  region     = var.region
  publisher  = module.identity.airflow.email
  readers    = [var.groups.engineers, var.groups.scientists]
  analysts   = values(var.groups)

  depends_on = [module.services]
}

module "registry" {
  source = "./modules/registry"

  region  = var.region
  writers = [module.delivery.deployer.member]
  readers = [
    module.identity.airflow.member, module.dataproc.account.member, module.vertex.account.member, local.node_agent,
  ]

  depends_on = [module.services]
}

module "database" {
  source = "./modules/database"

  region     = var.region
  network_id = module.network.network_id
  ip_range   = module.network.services_range
  settings   = var.database
  labels     = local.labels
  databases  = ["airflow", "mlflow"]
  user       = module.identity.airflow.email

  # The address range that the network lends to Google's services must exist first.
  depends_on = [module.network]
}

module "secrets" {
  source = "./modules/secrets"

  region = var.region
  editor = local.groups.engineers

  readers = {
    # The settings and passwords of the machine that runs Airflow, in case it is lost. Nothing reads them by itself.
    contrail-env = {}
    # MLflow's password of the user `jobs`. It may add runs and versions, and move no alias.
    contrail-mlflow-jobs = { train = module.vertex.account.member }
  }

  depends_on = [module.services]
}

# --- watching and delivering --------------------------------------------------------------------------------------

module "monitoring" {
  source = "./modules/monitoring"

  project_id      = var.project_id
  environment     = var.environment
  labels          = local.labels
  emails          = var.alert_emails
  pipelines       = var.pipelines
  billing_account = var.billing_account
  monthly_budget  = var.monthly_budget

  depends_on = [module.services]
}

module "delivery" {
  source = "./modules/delivery"

  project_id        = var.project_id
  environment       = var.environment
  github_repository = var.github_repository
  state_bucket      = var.state_bucket

  depends_on = [module.services]
}

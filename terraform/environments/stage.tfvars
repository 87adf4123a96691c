# Replace what begins with acme or example, the billing account and the budget by your own; README, "From an empty project".
project_id   = "acme-contrail-stage"
environment  = "stage"
region       = "europe-west1"
state_bucket = "acme-contrail-stage-tfstate"

team        = "data-science"
cost_centre = "cc-0000"

groups = {
  engineers  = "data-engineers@example.com"
  scientists = "data-scientists@example.com"
  analysts   = "analysts@example.com"
  approvers  = "model-approvers@example.com"
}

pipelines = ["flight_delay", "bike_demand"]

database = {
  tier                = "db-custom-1-3840"
  availability_type   = "ZONAL"
  backups_kept        = 7
  deletion_protection = false
}

alert_emails    = ["data-on-call@example.com"]
billing_account = "000000-000000-000000"
monthly_budget  = 300

github_repository = "acme/contrail"

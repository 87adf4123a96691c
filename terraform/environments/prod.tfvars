# Replace what begins with acme or example, the billing account and the budget by your own; README, "From an empty project".
project_id   = "acme-contrail-prod"
environment  = "prod"
region       = "europe-west1"
state_bucket = "acme-contrail-prod-tfstate"

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
  tier                = "db-custom-2-7680"
  availability_type   = "REGIONAL"
  backups_kept        = 14
  deletion_protection = true
}

alert_emails    = ["data-on-call@example.com"]
billing_account = "000000-000000-000000"
monthly_budget  = 1500

github_repository = "acme/contrail"

mock_provider "google" {}

variables {
  project_id      = "some-project"
  environment     = "prod"
  labels          = { app = "contrail" }
  emails          = ["on-call@example.com"]
  pipelines       = ["flight_delay", "bike_demand"]
  billing_account = "000000-000000-000000"
  monthly_budget  = 100
}

run "alerts" {
  command = plan
  module {
    source = "./modules/monitoring"
  }

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.not_published)) == toset(var.pipelines)
    error_message = "Each pipeline is watched."
  }

  assert {
    condition     = google_monitoring_alert_policy.not_published["flight_delay"].conditions[0].condition_prometheus_query_language[0].query == "absent_over_time(logging_googleapis_com:user_contrail_partitions_published{monitored_resource=\"global\", pipeline=\"flight_delay\"}[25h])"
    error_message = "A day without a partition of this pipeline."
  }

  assert {
    condition     = [for rule in google_billing_budget.this.threshold_rules : rule.threshold_percent] == [0.5, 0.9, 1, 1]
    error_message = "Told at half, at nine tenths, at all, and when all is forecast."
  }
}

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

  assert {
    condition     = alltrue([for channel in google_monitoring_notification_channel.email : channel.type == "email" && contains(var.emails, channel.labels.email_address)]) && length(google_monitoring_notification_channel.email) == 1
    error_message = "Each address has its channel."
  }

  assert {
    condition     = one(google_monitoring_alert_policy.stage_failed.conditions[0].condition_matched_log).filter == "logName=\"projects/some-project/logs/contrail\" AND jsonPayload.kind=(\"failure\" OR \"refusal\" OR \"deadline\")"
    error_message = "What Contrail reports is what the alert reads."
  }

  assert {
    condition     = { for key, policy in google_monitoring_alert_policy.job_errors : key => one(policy.conditions[0].condition_matched_log).filter } == { for key in ["cloud_dataproc_batch", "ml_job"] : key => "resource.type=\"${key}\" AND severity>=ERROR" }
    error_message = "Errors of both kinds of jobs."
  }

  assert {
    condition     = google_logging_metric.published.filter == "logName=\"projects/some-project/logs/contrail\" AND jsonPayload.kind=\"published\" AND jsonPayload.table=\"predictions\"" && google_logging_metric.published.label_extractors == tomap({ pipeline = "EXTRACT(jsonPayload.pipeline)" })
    error_message = "Publications of predictions are counted by pipeline."
  }

  assert {
    condition     = one(google_billing_budget.this.amount[0].specified_amount).units == "100"
    error_message = "The budget is what a month may cost."
  }

  assert {
    condition     = length([for rule in google_billing_budget.this.threshold_rules : rule if rule.spend_basis == "FORECASTED_SPEND"]) == 1 && one(google_billing_budget.this.budget_filter).calendar_period == "MONTH"
    error_message = "By month, and with its forecast."
  }

  assert {
    condition     = alltrue([for policy in concat([google_monitoring_alert_policy.stage_failed], values(google_monitoring_alert_policy.job_errors), values(google_monitoring_alert_policy.not_published), values(google_monitoring_alert_policy.machine_full), [google_monitoring_alert_policy.machine_silent]) : policy.user_labels == tomap({ app = "contrail" }) && coalesce(policy.enabled, true)])
    error_message = "Every alert is on, and says whose it is."
  }

  assert {
    condition     = { for key, policy in google_monitoring_alert_policy.machine_full : key => policy.conditions[0].condition_threshold[0].filter if key == "disk" } == { disk = "resource.type=\"gce_instance\" AND metric.type=\"agent.googleapis.com/disk/percent_used\" AND metric.labels.state=\"used\"" }
    error_message = "A full disk is told before it is full."
  }

  assert {
    condition     = google_monitoring_alert_policy.machine_silent.conditions[0].condition_absent[0].duration == "900s"
    error_message = "A machine that is gone is told."
  }
}

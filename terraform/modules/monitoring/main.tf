# Alerts that people receive by mail. Contrail's own messages (Slack, mail, README) say more. These alerts also come
# when Airflow is silent, and when a bill grows.

locals {
  # Contrail writes each message and each publication as one JSON entry of this log; README, "The log that alerts read".
  log = "projects/${var.project_id}/logs/contrail"

  channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  # An hour longer than a day, so that a run that is a little later than yesterday's raises no alarm.
  publication_window = "25h"
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  display_name = "Contrail ${var.environment}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = var.labels
}

# --- a job or a stage failed --------------------------------------------------------------------------------------

resource "google_monitoring_alert_policy" "stage_failed" {
  display_name          = "Contrail ${var.environment}: a stage failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "Contrail reported a failure, a refusal or a missed deadline"
    condition_matched_log {
      filter = "logName=\"${local.log}\" AND jsonPayload.kind=(\"failure\" OR \"refusal\" OR \"deadline\")"
      label_extractors = {
        kind  = "EXTRACT(jsonPayload.kind)"
        where = "EXTRACT(jsonPayload.where)"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "300s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "$${log.extracted_label.kind}: $${log.extracted_label.where}. The log entry says what was kept and what to do."
  }
}

# These alerts read the services' own logs, which exist even if Airflow died while it waited for the job.
resource "google_monitoring_alert_policy" "job_errors" {
  for_each = {
    cloud_dataproc_batch = "a Spark batch logged errors"
    ml_job               = "a training job logged errors"
  }

  display_name          = "Contrail ${var.environment}: ${each.value}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value
    condition_matched_log {
      filter = "resource.type=\"${each.key}\" AND severity>=ERROR"
    }
  }

  # A failing job writes many such lines. One mail an hour is enough.
  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "See the job's log, then the task's log in Airflow. `contrail status -p <pipeline>` shows where the day stopped."
  }
}

# --- a day without predictions ------------------------------------------------------------------------------------

resource "google_logging_metric" "published" {
  name        = "contrail_partitions_published"
  description = "Partitions of predictions that were published, by pipeline."
  filter      = "logName=\"${local.log}\" AND jsonPayload.kind=\"published\" AND jsonPayload.table=\"predictions\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "pipeline"
      value_type  = "STRING"
      description = "The pipeline's name."
    }
  }

  label_extractors = { pipeline = "EXTRACT(jsonPayload.pipeline)" }
}

# PromQL, because a condition of the kind "absent" looks back 23.5 hours at most. A daily run needs more. Such a
# condition also says nothing before the first value.
resource "google_monitoring_alert_policy" "not_published" {
  for_each = var.pipelines

  display_name          = "Contrail ${var.environment}: ${each.key} published no predictions"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "No partition published in ${local.publication_window}"
    condition_prometheus_query_language {
      query = join("", [
        "absent_over_time(logging_googleapis_com:user_${google_logging_metric.published.name}",
        "{monitored_resource=\"global\", pipeline=\"${each.key}\"}[${local.publication_window}])",
      ])
      duration            = "0s"
      evaluation_interval = "300s"

      # The metric exists from the first publication on.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Analysts still read the last complete day. `contrail status -p ${each.key}` shows where today's stopped."
  }
}

# --- the machine that runs Airflow -------------------------------------------------------------------------------

# Google's Ops Agent on the machine measures these (docker/machine.sh). The hypervisor knows neither.
resource "google_monitoring_alert_policy" "machine_full" {
  for_each = {
    disk   = 80
    memory = 95
  }

  display_name          = "Contrail ${var.environment}: the machine's ${each.key} is nearly full"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "More than ${each.value} % of the ${each.key} is used for 10 minutes"
    condition_threshold {
      filter          = "resource.type=\"gce_instance\" AND metric.type=\"agent.googleapis.com/${each.key}/percent_used\" AND metric.labels.state=\"used\""
      comparison      = "COMPARISON_GT"
      threshold_value = each.value
      duration        = "600s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MEAN"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/gcp.md, \"Keep it running\", says what takes the room, and how to get it back."
  }
}

# A machine that is gone, stopped or hung, or an agent that does not run.
resource "google_monitoring_alert_policy" "machine_silent" {
  display_name          = "Contrail ${var.environment}: the machine is silent"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "No measurement for 15 minutes"
    condition_absent {
      filter   = "resource.type=\"gce_instance\" AND metric.type=\"agent.googleapis.com/agent/uptime\""
      duration = "900s"

      aggregations {
        # A counter of seconds. Another version of the agent, or a machine that was made again, is another series.
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "docs/gcp.md, \"Keep it running\", makes a lost machine again."
  }
}

# --- the bill -----------------------------------------------------------------------------------------------------

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_billing_budget" "this" {
  billing_account = var.billing_account
  display_name    = "Contrail ${var.environment}"

  budget_filter {
    projects        = ["projects/${data.google_project.this.number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      units = tostring(var.monthly_budget)
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 0.9
  }
  threshold_rules {
    threshold_percent = 1.0
  }
  # Early enough to stop costs that run away.
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
  }
}

# What each variable refuses. The whole is in root.tftest.hcl.

mock_provider "google" {}

variables {
  project_id        = "some-project"
  environment       = "prod"
  region            = "europe-west1"
  team              = "team"
  cost_centre       = "cc-1"
  pipelines         = ["one"]
  database          = { tier = "db-custom-1-3840", availability_type = "ZONAL", backups_kept = 7, deletion_protection = true }
  alert_emails      = ["on-call@example.com"]
  billing_account   = "012345-6789AB-CDEF01"
  monthly_budget    = 100
  github_repository = "acme/contrail"
  state_bucket      = "state"
  groups = {
    engineers  = "engineers@example.com"
    scientists = "scientists@example.com"
    analysts   = "analysts@example.com"
    approvers  = "approvers@example.com"
  }
}

run "a_project_has_an_id" {
  command = plan
  variables {
    project_id = "Acme Prod"
  }
  expect_failures = [var.project_id]
}

run "only_stage_and_prod" {
  command = plan
  variables {
    environment = "dev"
  }
  expect_failures = [var.environment]
}

run "a_region_is_no_zone" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "a_region_is_no_multi_region" {
  command = plan
  variables {
    region = "EU"
  }
  expect_failures = [var.region]
}

run "a_team_is_a_label" {
  command = plan
  variables {
    team = "Data Science"
  }
  expect_failures = [var.team]
}

run "a_cost_centre_is_a_label" {
  command = plan
  variables {
    cost_centre = ""
  }
  expect_failures = [var.cost_centre]
}

run "a_group_is_an_address" {
  command = plan
  variables {
    groups = { engineers = "group:engineers@example.com", scientists = "s@example.com", analysts = "a@example.com", approvers = "p@example.com" }
  }
  expect_failures = [var.groups]
}

run "a_group_has_a_domain" {
  command = plan
  variables {
    groups = { engineers = "engineers", scientists = "s@example.com", analysts = "a@example.com", approvers = "p@example.com" }
  }
  expect_failures = [var.groups]
}

run "somebody_runs_a_pipeline" {
  command = plan
  variables {
    pipelines = []
  }
  expect_failures = [var.pipelines]
}

run "a_pipeline_is_a_folder" {
  command = plan
  variables {
    pipelines = ["include/pipelines/flight_delay"]
  }
  expect_failures = [var.pipelines]
}

run "a_range_has_a_size" {
  command = plan
  variables {
    subnet_cidr = "10.10.0.0"
  }
  expect_failures = [var.subnet_cidr]
}

run "a_range_is_no_host" {
  command = plan
  variables {
    subnet_cidr = "10.10.0.1/20"
  }
  expect_failures = [var.subnet_cidr]
}

run "a_range_is_private" {
  command = plan
  variables {
    subnet_cidr = "8.8.0.0/20"
  }
  expect_failures = [var.subnet_cidr]
}

run "a_range_has_room_for_workers" {
  command = plan
  variables {
    subnet_cidr = "10.10.0.0/28"
  }
  expect_failures = [var.subnet_cidr]
}

run "a_range_leaves_room_for_others" {
  command = plan
  variables {
    subnet_cidr = "10.0.0.0/8"
  }
  expect_failures = [var.subnet_cidr]
}

run "a_database_is_zonal_or_regional" {
  command = plan
  variables {
    database = { tier = "db-custom-1-3840", availability_type = "GLOBAL", backups_kept = 7, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "a_database_has_cores_of_its_own" {
  command = plan
  variables {
    database = { tier = "db-f1-micro", availability_type = "ZONAL", backups_kept = 7, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "a_database_has_a_size_that_exists" {
  command = plan
  variables {
    database = { tier = "db-custom-3-7680", availability_type = "ZONAL", backups_kept = 7, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "a_database_has_enough_memory" {
  command = plan
  variables {
    database = { tier = "db-custom-1-1024", availability_type = "ZONAL", backups_kept = 7, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "a_database_keeps_backups" {
  command = plan
  variables {
    database = { tier = "db-custom-1-3840", availability_type = "ZONAL", backups_kept = 0, deletion_protection = true }
  }
  expect_failures = [var.database]
}

run "someone_is_told" {
  command = plan
  variables {
    alert_emails = []
  }
  expect_failures = [var.alert_emails]
}

run "a_budget_tells_no_more_than_five" {
  command = plan
  variables {
    alert_emails = [for number in range(6) : "person-${number}@example.com"]
  }
  expect_failures = [var.alert_emails]
}

run "an_alert_goes_to_an_address" {
  command = plan
  variables {
    alert_emails = ["on-call"]
  }
  expect_failures = [var.alert_emails]
}

run "a_billing_account_has_its_form" {
  command = plan
  variables {
    billing_account = "billingAccounts/012345-6789AB-CDEF01"
  }
  expect_failures = [var.billing_account]
}

run "a_budget_is_above_0" {
  command = plan
  variables {
    monthly_budget = 0
  }
  expect_failures = [var.monthly_budget]
}

run "a_budget_is_a_whole_number" {
  command = plan
  variables {
    monthly_budget = 0.5
  }
  expect_failures = [var.monthly_budget]
}

run "a_repository_has_an_owner" {
  command = plan
  variables {
    github_repository = "contrail"
  }
  expect_failures = [var.github_repository]
}

run "a_state_bucket_is_a_name" {
  command = plan
  variables {
    state_bucket = "gs://state"
  }
  expect_failures = [var.state_bucket]
}

run "a_range_of_vertex_ai_is_one_that_it_documents" {
  command = plan
  variables {
    vertex_prefix = 20
  }
  expect_failures = [var.vertex_prefix]
}

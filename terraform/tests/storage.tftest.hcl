mock_provider "google" {}

variables {
  name_prefix = "some-project"
  region      = "europe-west1"
  buckets = {
    lake = {
      noncurrent_days = 7
      access = {
        airflow   = { member = "serviceAccount:airflow@example.com", writes = [""] }
        engineers = { member = "group:engineers@example.com", reads = [""] }
      }
    }
    artifacts = {
      noncurrent_days = 90
      access = {
        train     = { member = "serviceAccount:train@example.com", reads = ["jobs/code/"], writes = ["jobs/", "mlflow/"], except = ["jobs/code/", "jobs/costs/"] }
        approvers = { member = "group:approvers@example.com", reads = ["reports/", "mlflow/"] }
      }
    }
    scratch = {
      expire_prefixes = { "" = 14 }
      access          = {}
    }
  }
}

run "buckets" {
  command = plan
  module {
    source = "./modules/storage"
  }

  assert {
    condition = alltrue([
      for bucket in google_storage_bucket.this :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced"
    ])
    error_message = "Every bucket has uniform access and no public access."
  }

  assert {
    condition     = { for use, bucket in google_storage_bucket.this : use => bucket.versioning[0].enabled } == { lake = true, artifacts = true, scratch = false }
    error_message = "What must last has versions, and what is temporary has none."
  }

  assert {
    condition     = alltrue([for bucket in google_storage_bucket.this : bucket.soft_delete_policy[0].retention_duration_seconds == 0])
    error_message = "No bucket keeps a paid copy of each deleted object, as Google's default would."
  }

  assert {
    condition = { for key, grant in google_storage_bucket_iam_member.objects : key => grant.role } == {
      "lake airflow writes"       = "roles/storage.objectUser"
      "lake engineers reads"      = "roles/storage.objectViewer"
      "artifacts train reads"     = "roles/storage.objectViewer"
      "artifacts train writes"    = "roles/storage.objectUser"
      "artifacts approvers reads" = "roles/storage.objectViewer"
    }
    error_message = "Who reads cannot write."
  }

  assert {
    condition = try(one(google_storage_bucket_iam_member.objects["artifacts train writes"].condition).expression, "anywhere") == join("", [
      "(resource.name.startsWith(\"projects/_/buckets/some-project-artifacts/objects/jobs/\")",
      " || resource.name.startsWith(\"projects/_/buckets/some-project-artifacts/objects/mlflow/\"))",
      " && !(resource.name.startsWith(\"projects/_/buckets/some-project-artifacts/objects/jobs/code/\")",
      " || resource.name.startsWith(\"projects/_/buckets/some-project-artifacts/objects/jobs/costs/\"))",
    ])
    error_message = "A job writes under its prefixes only, and not the code that jobs run."
  }

  assert {
    condition     = try(one(google_storage_bucket_iam_member.objects["artifacts train reads"].condition).expression, "anywhere") == "(resource.name.startsWith(\"projects/_/buckets/some-project-artifacts/objects/jobs/code/\"))"
    error_message = "A job reads the code that jobs run."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.objects["lake airflow writes"].condition) == 0
    error_message = "The publisher writes everywhere in the lake."
  }

  assert {
    condition     = toset(keys(google_storage_bucket_iam_member.viewer)) == toset(["lake airflow", "lake engineers", "artifacts train", "artifacts approvers"])
    error_message = "Who may do anything with objects may list them, once each."
  }

  assert {
    condition = anytrue([
      for rule in google_storage_bucket.this["scratch"].lifecycle_rule :
      one(rule.action).type == "Delete" && one(rule.condition).age == 14 && one(rule.condition).matches_prefix == null
    ])
    error_message = "What is temporary is deleted after 14 days."
  }

  assert {
    condition = alltrue([
      for use in ["lake", "artifacts"] : alltrue([
        for rule in google_storage_bucket.this[use].lifecycle_rule :
        one(rule.condition).with_state == "ARCHIVED" if one(rule.action).type == "Delete"
      ])
    ])
    error_message = "No rule deletes published objects."
  }
}

run "nothing_expires_beside_what_lasts" {
  command = plan
  variables {
    buckets = { lake = { noncurrent_days = 7, expire_prefixes = { "staging/" = 14 }, access = {} } }
  }
  module {
    source = "./modules/storage"
  }
  expect_failures = [var.buckets]
}

run "a_condition_of_iam_is_short" {
  command = plan
  variables {
    buckets = {
      lake = {
        noncurrent_days = 7
        access          = { airflow = { member = "serviceAccount:airflow@example.com", writes = split("", "abcdefghijk"), except = ["a", "b"] } }
      }
    }
  }
  module {
    source = "./modules/storage"
  }
  expect_failures = [var.buckets]
}

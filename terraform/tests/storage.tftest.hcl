mock_provider "google" {}

variables {
  name_prefix = "some-project"
  region      = "europe-west1"
  buckets = {
    lake = {
      noncurrent_days = 7
      expire_prefixes = { "staging/" = 14 }
      access = {
        airflow      = { role = "roles/storage.objectUser", member = "serviceAccount:airflow@example.com" }
        spark        = { role = "roles/storage.objectViewer", member = "serviceAccount:spark@example.com" }
        spark-stages = { role = "roles/storage.objectUser", member = "serviceAccount:spark@example.com", prefix = "staging/" }
      }
    }
    scratch = {
      noncurrent_days = 1
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
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced" && bucket.versioning[0].enabled
    ])
    error_message = "Every bucket has uniform access, no public access, and versions."
  }

  assert {
    condition     = try(one(google_storage_bucket_iam_member.objects["lake spark-stages"].condition).expression, "anywhere") == "resource.name.startsWith(\"projects/_/buckets/some-project-lake/objects/staging/\")"
    error_message = "A job writes under the staging prefix only."
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.objects["lake airflow"].condition) == 0
    error_message = "The publisher writes everywhere in the lake."
  }

  assert {
    condition     = toset(keys(google_storage_bucket_iam_member.viewer)) == toset(["lake airflow", "lake spark"])
    error_message = "Who reads objects may look at the bucket, once each."
  }

  assert {
    condition = anytrue([
      for rule in google_storage_bucket.this["lake"].lifecycle_rule :
      one(rule.action).type == "Delete" && one(rule.condition).age == 14 && one(rule.condition).matches_prefix == tolist(["staging/"])
    ])
    error_message = "What was staged is deleted after 14 days."
  }

  assert {
    condition = alltrue([
      for rule in google_storage_bucket.this["lake"].lifecycle_rule :
      one(rule.condition).matches_prefix != null || one(rule.condition).with_state == "ARCHIVED"
      if one(rule.action).type == "Delete"
    ])
    error_message = "No rule deletes published objects."
  }
}

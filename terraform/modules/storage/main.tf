# Buckets with uniform access, no public access, versions as the safety net of what must last, and an expiry for all that
# may expire.

locals {
  roles = { reads = "roles/storage.objectViewer", writes = "roles/storage.objectUser" }

  holders = merge([
    for name, bucket in var.buckets : {
      for who, access in bucket.access : "${name} ${who}" => merge(access, { bucket = name })
    }
  ]...)

  grants = merge([
    for key, holder in local.holders : {
      for verb, role in local.roles : "${key} ${verb}" => {
        bucket   = holder.bucket
        member   = holder.member
        role     = role
        prefixes = holder[verb]
        except   = verb == "writes" ? holder.except : []
      } if length(holder[verb]) > 0
    }
  ]...)
}

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_62:Writes are in Cloud Audit Logs (modules/services), which name the account; usage logs do not.
  for_each = var.buckets

  name                        = "${var.name_prefix}-${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = each.value.noncurrent_days != null
  }

  # Off, where Google's default keeps each deleted object, paid, for seven days more. Versions are the safety net of what
  # must last. What is temporary needs none.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.noncurrent_days == null ? [] : [each.value.noncurrent_days]

    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.expire_prefixes

    content {
      action {
        type = "Delete"
      }
      condition {
        age            = lifecycle_rule.value
        matches_prefix = lifecycle_rule.key == "" ? null : [lifecycle_rule.key]
        with_state     = "LIVE"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.nearline_days == null ? [] : [each.value.nearline_days]

    content {
      action {
        type          = "SetStorageClass"
        storage_class = "NEARLINE"
      }
      condition {
        age                   = lifecycle_rule.value
        matches_storage_class = ["STANDARD"]
      }
    }
  }
}

# The permission to list is on the bucket, so a condition on objects' names never gives it. Without it Cloud Storage
# answers 403 for an object that does not exist, and every client checks whether objects exist.
resource "google_storage_bucket_iam_member" "viewer" {
  for_each = local.holders

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = "roles/storage.legacyBucketReader"
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.grants

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = each.value.role
  member = each.value.member

  dynamic "condition" {
    for_each = contains(each.value.prefixes, "") && length(each.value.except) == 0 ? [] : [each.value]

    content {
      title = "some-prefixes"
      expression = join(" && !", [
        for prefixes in [condition.value.prefixes, condition.value.except] : format("(%s)", join(" || ", [
          for prefix in prefixes :
          "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.this[each.value.bucket].name}/objects/${prefix}\")"
        ])) if length(prefixes) > 0
      ])
    }
  }
}

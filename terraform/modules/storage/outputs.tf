output "uris" {
  description = "gs:// addresses by use."
  value       = { for use, bucket in google_storage_bucket.this : use => "gs://${bucket.name}" }
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value = concat(
    [for grant in google_storage_bucket_iam_member.viewer : "${grant.bucket}: ${grant.member} ${grant.role}"],
    [
      for key, grant in google_storage_bucket_iam_member.objects : join(" ", compact([
        "${grant.bucket}: ${grant.member} ${grant.role}",
        length(grant.condition) > 0 ? "under ${join(" ", local.grants[key].prefixes)}" : "",
        length(local.grants[key].except) > 0 ? "but not ${join(" ", local.grants[key].except)}" : "",
      ]))
    ],
  )
}

output "expiring" {
  description = "What is deleted by age although it is current, a line each."
  value = flatten([
    for use, bucket in google_storage_bucket.this : [
      for rule in bucket.lifecycle_rule :
      "${use}: ${join(" ", coalesce(one(rule.condition).matches_prefix, ["everything"]))} after ${one(rule.condition).age} days"
      if one(rule.action).type == "Delete" && one(rule.condition).with_state != "ARCHIVED"
    ]
  ])
}

output "grants" {
  description = "Who may do what, a line each: tests/root.tftest.hcl compares it with a table."
  value = flatten([
    for dataset in [google_bigquery_dataset.published, google_bigquery_dataset.analysts] : [
      for entry in dataset.access : join(" ", ["dataset ${dataset.dataset_id}:", coalesce(
        entry.user_by_email, entry.group_by_email, entry.special_group,
        try("views of ${one(one(entry.dataset).dataset).dataset_id}", "somebody else"),
      ), coalesce(entry.role, "READER")])
    ]
  ])
}

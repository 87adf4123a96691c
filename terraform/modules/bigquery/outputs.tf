output "dataset_ids" {
  description = "The publisher's dataset and the analysts'."
  value = {
    published = google_bigquery_dataset.published.dataset_id
    analysts  = google_bigquery_dataset.analysts.dataset_id
  }
}

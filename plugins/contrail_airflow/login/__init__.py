"""Who logs in to a shared Airflow and MLflow: Compose's services use it, the embedded Airflow does not."""

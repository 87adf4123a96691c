#!/bin/sh
# Postgres's image runs this once, on an empty volume. Two roles: Airflow's own database is closed to the workers, which
# run the pipelines' code and need only Celery's results, the Iceberg catalog and MLflow.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv airflow_password AIRFLOW_DB_PASSWORD
\getenv contrail_password CONTRAIL_DB_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow_password';
CREATE ROLE contrail LOGIN PASSWORD :'contrail_password';
CREATE DATABASE airflow OWNER airflow;
REVOKE CONNECT ON DATABASE airflow FROM PUBLIC;
CREATE DATABASE celery OWNER contrail;
CREATE DATABASE iceberg OWNER contrail;
CREATE DATABASE mlflow OWNER contrail;
SQL

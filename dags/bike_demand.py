"""The DAGs of ``bike_demand``; what they do is in plugins/contrail_airflow/dags/builder.py."""

from contrail_airflow.dags.builder import build_dags

globals().update(build_dags("bike_demand"))

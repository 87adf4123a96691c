"""The DAGs of ``flight_delay``; what they do is in plugins/contrail_airflow/dags/builder.py."""

from contrail_airflow.dags.builder import build_dags

globals().update(build_dags("flight_delay"))

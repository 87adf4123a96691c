"""The DAGs of ``flight_delay``; what they do is in plugins/contrail_airflow/dag_builder.py."""

from contrail_airflow.dag_builder import build_dags

globals().update(build_dags("flight_delay"))

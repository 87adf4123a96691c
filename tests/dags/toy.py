"""The DAGs of the tests' pipeline."""

from contrail_airflow.dag_builder import build_dags

globals().update(build_dags("toy"))

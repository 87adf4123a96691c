"""The DAGs of the tests' pipeline."""

from contrail_airflow.dags.builder import build_dags

globals().update(build_dags("toy"))

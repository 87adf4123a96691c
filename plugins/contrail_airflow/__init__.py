"""Everything of Contrail that imports Airflow: operators, timetables, the DAG builder, the embedded Airflow."""

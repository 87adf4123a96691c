"""Timetables, priorities and retries: classes that Airflow stores in its database by name.

No DAG and no task belongs here.
"""

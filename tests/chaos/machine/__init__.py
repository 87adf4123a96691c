"""Faults of the machine for the length of a command: its limits, its clock, its stores and databases, its Airflow."""

"""Contrail: partitioned data in, a prediction table that can be trusted out.

This package holds the stages and what they need. It never imports Airflow: every stage runs from a shell.
"""

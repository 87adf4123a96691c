"""Contrail turns partitioned data into a prediction table that people can trust.

This package holds the stages and what they need. It never imports Airflow: every stage runs from a shell.
"""

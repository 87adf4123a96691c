"""Airflow's operators. A task runs a command of ``contrail`` on this machine or on a target of the environment.

The wiring of DAGs does not belong here, and neither do the clients of the services that run remote jobs.
"""

"""The operators: a task is a command of ``contrail``, here or on a target of the environment.

A DAG's wiring does not belong here, nor do the clients of the services that run remote jobs.
"""

"""A module for each DAG of a pipeline, and the policy that all of them share.

Wiring only: what a task does is a command of ``contrail``.
"""

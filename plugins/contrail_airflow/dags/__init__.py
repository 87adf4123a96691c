"""A module for each DAG of a pipeline, and the policy that all of them share.

The modules hold only wiring. A task's work is a command of ``contrail``.
"""

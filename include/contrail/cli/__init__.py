"""The command line ``contrail``: parse arguments, call, print. A module for each desk.

No work belongs here: what a command does is a function of ``stages`` or ``operations``, which the DAGs call too.
"""

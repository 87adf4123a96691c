"""The command line ``contrail``: parse arguments, call, print. A module for each desk.

No work belongs here. A command calls a function of ``stages`` or ``operations``, as the DAGs do.
"""

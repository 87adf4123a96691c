"""Whether an environment can run a pipeline: the checks of ``contrail doctor``, a module for each thing that they look at.

A check reads, and writes nothing. What a stage finds wrong while it runs does not belong here.
"""

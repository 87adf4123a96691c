"""What is declared: a pipeline's spec, an environment's settings, targets and prices, read into frozen models.

Only ``settings`` reads the environment. Nothing here reads or writes data.
"""

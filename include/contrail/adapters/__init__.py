"""Thin wrappers over the libraries that do the work: Great Expectations, MLflow, DVC, Spark, Google's clients.

A wrapper translates calls and errors, and decides nothing. Rules of the chain do not belong here.
"""

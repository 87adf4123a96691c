"""Thin wrappers over the libraries that do the work: Great Expectations, MLflow, DVC, Evidently, Spark, matplotlib."""

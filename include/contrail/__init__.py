"""Contrail turns partitioned data into a prediction table that people can trust.

This package holds the stages and what they need. It never imports Airflow: every stage runs from a shell. A notebook
starts with ``contrail.open``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contrail.notebook.opened import OpenPipeline


def open(pipeline: str | None = None) -> "OpenPipeline":
    """Open a pipeline, to read its tables, models, decisions and receipts from a notebook or a script.

    It only reads. The environment is that of the command line: see ``CONTRAIL_HOME`` and ``CONTRAIL_ENV``.

    Args:
        pipeline: Name of a folder under ``include/pipelines``. Default: the only one, or ``flight_delay``.

    Raises:
        SpecError: for an unknown name, with the nearest one, or with all that is wrong in its spec.

    Example:
        >>> import contrail
        >>> parcels = contrail.open("toy")
        >>> parcels
        toy: Late parcels. Tables: .tables; rows: .table(…), .sql(…); also .model(…), .decision(…), .receipt(…), .why(…)
    """
    from contrail.notebook.opened import open_pipeline  # the libraries of the lake take a second and a half

    return open_pipeline(pipeline)

"""What the views share for reading."""

from typing import TYPE_CHECKING

from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings

if TYPE_CHECKING:
    from contrail.lake.lake import Lake


def lake_of(pipeline: Pipeline) -> "Lake":
    """The lake of a pipeline."""
    from contrail.lake.lake import Lake  # more than a second of imports, which no other process of Airflow needs

    return Lake(settings(), pipeline.name)

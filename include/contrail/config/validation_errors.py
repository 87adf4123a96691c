"""Turn a pydantic error into words for the person who wrote the values."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from contrail.config.problems import hint, problems_of, said
from contrail.errors import DataError

__all__ = ["explain", "hint", "parse_json"]

Model = TypeVar("Model", bound=BaseModel)


def parse_json(model: type[Model], text: str | bytes, place: Path | str) -> Model:
    """Read a model from JSON that Contrail kept.

    Raises:
        DataError: naming the place, each wrong key's path and the rule.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise DataError(explain(place, error, model)) from error


def explain(place: Path | str, error: ValidationError, model: type[BaseModel]) -> str:
    """Name the file or call, each wrong key's path, the rule, and for an unknown key the nearest valid name."""
    return said(place, problems_of(error, model))

"""Turn a pydantic error into words for the person who wrote the YAML file."""

import difflib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from contrail.errors import DataError

Model = TypeVar("Model", bound=BaseModel)


def _model_at(annotation: Any, path: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that owns the key at ``path``, found by walking the annotations; None when there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        field = annotation.model_fields.get(str(path[0]))
        return _model_at(field.annotation, path[1:]) if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) in (dict, list, tuple):  # the key or index is one step of the path
        return _model_at(arguments[-1 if get_origin(annotation) is dict else 0], path[1:]) if path else None
    return next((found for a in arguments if (found := _model_at(a, path))), None)


def hint(name: str, known: list[str], what: str) -> str:
    """The known name that is nearest to a wrong one, or all of them, which are ``what``."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else f"{what}: {', '.join(known)}"


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
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "(top level)"
        if item["type"] == "extra_forbidden":
            owner = _model_at(model, item["loc"][:-1])
            valid = sorted(owner.model_fields) if owner else []
            lines.append(f"  {where}: unknown key; {hint(str(item['loc'][-1]), valid, 'valid keys')}")
        else:
            lines.append(f"  {where}: {item['msg']} (got {item.get('input')!r})"[:300])
    return f"{place} is not valid:\n" + "\n".join(lines)

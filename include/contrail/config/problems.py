"""What is wrong with a file of settings: found in one go, and said with place, line and rule.

Which rules there are does not belong here.
"""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from contrail.config.names import PATTERN_WORDS
from contrail.config.yaml_file import Place, YamlFile

_LONGEST = 300
_SHOWN = 20  # of the known names, where none is near
_OF_KEY = "[key]"  # how pydantic names the key of a mapping itself


class Problem(NamedTuple):
    """One thing that is wrong: its place in the file, and the rule with the right value."""

    place: Place
    said: str


def hint(name: str, known: Sequence[str], what: str) -> str:
    """The known name that is nearest to a wrong one, or the first of them, which are ``what``."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"did you mean '{near[0]}'?" if near else f"{what}: {', '.join(known[:_SHOWN])}{more}"


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """List what a model refused. An unknown key names the nearest valid one."""
    return [
        Problem(tuple(part for part in item["loc"] if part != _OF_KEY), _said(item, model)) for item in error.errors()
    ]


def _said(item: Any, model: type[BaseModel]) -> str:
    place = item["loc"]
    if item["type"] == "extra_forbidden":
        owner = model_at(model, place[:-1])
        return f"unknown key; {hint(str(place[-1]), sorted(owner.model_fields) if owner else [], 'valid keys')}"
    if item["type"] == "missing":
        return "Field required"
    if words := PATTERN_WORDS.get(item.get("ctx", {}).get("pattern", "")):
        return f"{words} (got {item.get('input')!r})"[:_LONGEST]
    return f"{item['msg'].removeprefix('Value error, ')} (got {item.get('input')!r})"[:_LONGEST]


def model_at(annotation: Any, place: Place) -> type[BaseModel] | None:
    """The model that owns the key at ``place``, found by walking the annotations; None when there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            return annotation
        field = annotation.model_fields.get(str(place[0]))
        return model_at(field.annotation, place[1:]) if field else None
    arguments = get_args(annotation)
    if get_origin(annotation) in (dict, list, tuple):  # the key or index is one step of the place
        return model_at(arguments[-1 if get_origin(annotation) is dict else 0], place[1:]) if place else None
    return next((found for a in arguments if (found := model_at(a, place))), None)


def lines_of(path: Path, problems: Iterable[Problem], file: YamlFile) -> list[str]:
    """Each problem as a line of its own, with file and line, in the order of the file."""
    found = sorted(((file.line(one.place) or 0, one) for one in problems), key=lambda pair: pair[0])
    return [f"{path}{f', line {line}' if line else ''}: {_where(one)}: {one.said}" for line, one in found]


def said(place: Path | str, problems: Iterable[Problem], file: YamlFile | None = None) -> str:
    """Say all that is wrong, in the order of the file, each with its line where there is a file."""
    found = sorted((((file.line(one.place) if file else 0) or 0, one) for one in problems), key=lambda pair: pair[0])
    return f"{place} is not valid:\n" + "\n".join(
        f"  {f'line {line}: ' if line else ''}{_where(one)}: {one.said}" for line, one in found
    )


def _where(problem: Problem) -> str:
    return ".".join(map(str, problem.place)) or "(top level)"

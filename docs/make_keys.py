"""Write ``docs/pipeline-keys.md``: every key of ``pipeline.yaml``, as the models that check it define it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from contrail.config.problems import model_at
from contrail.config.spec import PipelineSpec
from contrail.frozen import Frozen

PAGE = Path(__file__).with_name("pipeline-keys.md")
_BELOW = "Its keys have a table below."

_HEAD = """# Every key of `pipeline.yaml`

[Add a pipeline](add-a-pipeline.md) explains the file. `contrail check -p <name>` says everything that is wrong in yours.
`python docs/make_keys.py` writes this page from the models. Do not edit it by hand.
"""


def page() -> str:
    """The whole page: a table for the file, and one for each of its parts."""
    return "\n".join([_HEAD, *_section("", PipelineSpec)])


def _section(place: str, model: type[BaseModel]) -> Iterator[str]:
    inner = {name: found for name in model.model_fields if (found := _part(model, name))}
    yield f"## {f'`{place}`' if place else 'The file'}\n"
    yield f"{_text(model)}\n"
    yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _default(field.default, name in inner)
        meaning = field.description or (_BELOW if name in inner else "")
        yield f"| `{name}` | {_kind(model, name)} | {default} | {meaning.replace('|', '/')} |"
    yield ""
    for name, (key, part) in inner.items():
        yield from _section(f"{place}.{key}".lstrip("."), part) if name else ()


def _part(model: type[BaseModel], name: str) -> tuple[str, type[BaseModel]] | None:
    """The model below a key, and how the key is written: ``tables.<name>`` for each of a mapping."""
    for key, place in ((name, (name,)), (f"{name}.<name>", (name, "x")), (f"{name}[]", (name, 0))):
        if (found := model_at(model, place)) and issubclass(found, Frozen):
            return key, found
    return None


def _text(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").replace("``", "`").split())


def _kind(model: type[BaseModel], name: str) -> str:
    field: Any = model.model_json_schema(mode="validation")["properties"][name]
    text = "; ".join(dict.fromkeys(_words(field)))
    return text or "a mapping"


def _words(schema: dict[str, Any]) -> Iterator[str]:
    for one in schema.get("anyOf", ()):
        yield from _words(one)
    if "enum" in schema:
        yield " or ".join(f"`{value}`" for value in schema["enum"])
    elif "const" in schema:
        yield f"`{schema['const']}`"
    elif kind := schema.get("format") or schema.get("type"):
        yield {"null": "empty", "integer": "whole number", "string": "text", "object": "a mapping"}.get(
            kind, kind
        ) + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema]
    return f", {' and '.join(found)}" if found else ""


def _default(value: Any, is_part: bool) -> str:
    if value is PydanticUndefined or is_part:
        return "see below"
    text = re.sub(r"^\(\)$", "[]", str(value.isoformat("minutes") if hasattr(value, "isoformat") else value))
    return {"None": "empty", "True": "`true`", "False": "`false`", "": "empty"}.get(text, f"`{text}`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")

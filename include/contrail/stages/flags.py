"""The spelling of a stage's options on the command line, the same for a person and an orchestrator.

What an option does belongs to its stage. How a command reads its flags belongs to the command line.
"""

import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from contrail.config.validation_errors import hint
from contrail.errors import SpecError
from contrail.stages.options import OPTIONS, Flag, StageOptions

_YES_OR_NO = TypeAdapter(bool)


def flag_of(name: str, field: FieldInfo) -> Flag:
    """The flag of an option, with its name filled in."""
    given = next((one for one in field.metadata if isinstance(one, Flag)), Flag())
    return Flag(given.name or "--" + name.replace("_", "-"), given.default, given.internal)


def command_line_options(verb: str) -> dict[str, tuple[FieldInfo, Flag]]:
    """The options that the command of a verb has, by name, in the order of its help. The verb's own come first."""
    model = OPTIONS.get(verb, StageOptions)
    inherited = [name for name in model.model_fields if name not in model.__annotations__]
    names = [*(name for name in model.model_fields if name not in inherited), *inherited]
    found = {name: (field := model.model_fields[name], flag_of(name, field)) for name in names}
    return {name: option for name, option in found.items() if not option[1].internal}


def is_repeatable(field: FieldInfo) -> bool:
    """Whether an option may be given several times."""
    return get_origin(field.annotation) in (dict, tuple)


def check_names(verb: str, names: Mapping[str, Any]) -> None:
    """Refuse an option that the command of a verb does not have.

    Raises:
        SpecError: naming the nearest option that it has.
    """
    known = command_line_options(verb)
    for name in names:
        if name not in known:
            raise SpecError(f"{verb} has no option '{name}'; {hint(name, sorted(known), 'its options')}")


def flags(verb: str, options: Mapping[str, Any]) -> list[str]:
    """The flags of ``contrail VERB`` that give these options, without empty ones.

    A repeatable option also takes a list, with each item as a person types it.

    >>> flags("promote", {"model": "3", "approval": "awaited", "reason": ""})
    ['--model', '3', '--approval', 'awaited']
    >>> flags("train", {"params": ["device=cuda", {"max_depth": 8}], "registered": False})
    ['--set', 'device=cuda', '--set', '{"max_depth": 8}', '--no-register']

    Raises:
        SpecError: for an option that the verb does not have, and for a switch that is neither yes nor no.
    """
    check_names(verb, options)
    known = command_line_options(verb)
    return [word for name, value in options.items() for word in _words(name, *known[name], value)]


def _words(name: str, field: FieldInfo, flag: Flag, value: Any) -> list[str]:
    if field.annotation is bool:
        return _switch(name, flag, value)
    items = value if isinstance(value, list | tuple) else [value]
    texts = (json.dumps(item) if isinstance(item, Mapping) else "" if item is None else str(item) for item in items)
    return [word for text in texts if text for word in (flag.name, text)]


def _switch(name: str, flag: Flag, value: Any) -> list[str]:
    """The flag of yes or no. A value that a template left empty is neither."""
    if value in (None, ""):
        return []
    try:
        wanted = _YES_OR_NO.validate_python(value)
    except ValidationError as error:
        raise SpecError(f"the option '{name}' is yes or no, not {value!r}") from error
    on, _, off = flag.name.partition("/")
    return [word for word in [on if wanted else off] if word]

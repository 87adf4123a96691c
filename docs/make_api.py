"""Write ``docs/api.md``: every name of ``contrail.api``, with its signature, its meaning and its examples.

``python docs/make_api.py`` writes the page from the docstrings, which follow Google's style. A test compares it with them.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contrail import api

PAGE = Path(__file__).with_name("api.md")
FOREIGN = {
    "UPath": "The path of [universal_pathlib](https://universal-pathlib.readthedocs.io), on disk or in a bucket."
}
LINE = 100

_HEAD = """# `contrail.api`

A pipeline's `source.py`, `expectations.py` and `features.py` import from `contrail.api`, and from nothing else of Contrail.
[Add a pipeline](add-a-pipeline.md) uses most of it. The examples run as tests; `help(contrail.api.rolling)` shows the same.
`python docs/make_api.py` writes this page from the docstrings. Do not edit it by hand.
"""
_ENTRY = re.compile(r"([\w.*]+): (.*)", re.DOTALL)


def page() -> str:
    """The whole page: the helpers of features first, then what the other files need."""
    names = sorted(api.__all__, key=lambda name: (inspect.isclass(getattr(api, name)), name.lower()))
    return "\n".join([_HEAD, *(line for name in names for line in _of(name))])


def _of(name: str) -> Iterator[str]:
    found = getattr(api, name)
    yield f"## `{name}`\n"
    if name in FOREIGN:
        yield f"{FOREIGN[name]}\n"
        return
    yield from _documented(name, found)
    for method, member in vars(found).items() if inspect.isclass(found) else ():
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function) and not method.startswith("_") and function.__doc__:
            yield f"### `{name}.{method}`\n"
            yield from _documented(f"{name}.{method}", getattr(found, method), function.__doc__)


def _documented(name: str, found: Callable[..., Any], text: str | None = None) -> Iterator[str]:
    if signature := _signature(name, found):
        yield f"```python\n{signature}\n```\n"
    for part in re.split(r"\n(?=\w+:\n)", inspect.cleandoc(text or found.__doc__ or "")):
        head, _, rest = part.partition("\n")
        title = head.removesuffix(":")
        yield from _SHOWN[title](inspect.cleandoc(rest)) if title in _SHOWN else _prose(part)


def _signature(name: str, found: Callable[..., Any]) -> str:
    """A call as it is written, with an argument a line where it is long; nothing for a class that nobody calls."""
    given = [one for one in inspect.signature(found).parameters.values() if one.name != "self"]
    if inspect.isclass(found) and not given:
        return ""
    shown = [_parameter(one) for one in given]
    if by_name := [i for i, one in enumerate(given) if one.kind is one.KEYWORD_ONLY]:
        shown.insert(by_name[0], "*")
    whole = f"{name}({', '.join(shown)})"
    return whole if len(whole) <= LINE else f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + ")"


def _parameter(one: inspect.Parameter) -> str:
    """A parameter, its type without the modules that its names come from, and its default."""
    kind = re.sub(r"(?:\w+\.)+(?=\w)", "", inspect.formatannotation(one.annotation).replace("'", ""))
    star = "*" if one.kind is one.VAR_POSITIONAL else ""
    default = "{}" if "factory" in repr(one.default) else repr(one.default)
    return f"{star}{one.name}: {kind}" + ("" if one.default is one.empty else f" = {default}")


def _prose(text: str) -> Iterator[str]:
    yield f"{_inline(text.strip())}\n"


def _entries(text: str) -> Iterator[str]:
    """A table of arguments, each with its meaning."""
    yield from ("| name | meaning |", "|---|---|")
    for entry in re.split(r"\n(?=\S)", text):
        name, meaning = _ENTRY.fullmatch(entry).groups()  # type: ignore[union-attr]
        yield f"| `{name}` | {_inline(' '.join(meaning.split()))} |"
    yield ""


def _returns(text: str) -> Iterator[str]:
    yield f"**Returns:** {_inline(text)}\n"


def _raises(text: str) -> Iterator[str]:
    for entry in re.split(r"\n(?=\S)", text):
        name, meaning = _ENTRY.fullmatch(entry).groups()  # type: ignore[union-attr]
        yield f"**Raises** `{name}` {_inline(' '.join(meaning.split()))}\n"


def _example(text: str) -> Iterator[str]:
    """Prose, and code up to the next empty line."""
    for part in text.split("\n\n"):
        yield from [f"```pycon\n{part}\n```\n"] if part.startswith(">>>") else _prose(part)


def _inline(text: str) -> str:
    """Code in a docstring has two marks, in Markdown one."""
    return re.sub(r"``(.+?)``", r"`\1`", text, flags=re.DOTALL).replace("|", "/")


_SHOWN: dict[str, Callable[[str], Iterator[str]]] = {
    "Args": _entries,
    "Attributes": _entries,
    "Returns": _returns,
    "Raises": _raises,
    "Example": _example,
    "Examples": _example,
}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")

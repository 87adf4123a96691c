"""Queries of sources: their parameters, in the words of each database.

A query says ``:day``, ``:start`` and ``:end``. They are never part of its text: each database's client binds them.
"""

import re
from collections.abc import Callable, Iterator

PARAMETERS = ("day", "start", "end")
# Quoted texts, quoted names and comments come first, so that no parameter is found in them. ``::`` is a cast of Postgres.
_PARTS = re.compile(
    r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|(?<![:\w]):(?P<name>[A-Za-z_]\w*)""",
    re.DOTALL,
)


def parameters_of(query: str) -> list[str]:
    """The names of the parameters of a query, in their order."""
    return [found["name"] for found in _PARTS.finditer(query) if found["name"]]


def with_parameters(query: str, written: Callable[[str], str], text: Callable[[str], str] = lambda part: part) -> str:
    """Write a query in a client's own form.

    Args:
        query: The query of the spec.
        written: What stands for a parameter.
        text: What stands for all other text.
    """
    return "".join(_written(query.strip().removesuffix(";").rstrip(), written, text))


def _written(query: str, written: Callable[[str], str], text: Callable[[str], str]) -> Iterator[str]:
    at = 0
    for found in _PARTS.finditer(query):
        if name := found["name"]:
            yield text(query[at : found.start()])
            yield written(name)
            at = found.end()
    yield text(query[at:])


def query_problem(query: str, *, daily: bool) -> str | None:
    """What is wrong with the parameters of a query; None when nothing is."""
    named = parameters_of(query)
    if unknown := next((name for name in named if name not in PARAMETERS), None):
        return f"there is no parameter :{unknown}; use :start and :end (instants), or :day (a date)"
    if daily and not named:
        return "it gives the same rows for every day; bound it by :start and :end (instants), or by :day (a date)"
    if not daily and named:
        return f"a reference table has no days, so there is no :{named[0]}"
    return None

"""A function does one thing, and a module tells one story: what is longer does and tells more."""

import ast

from tests import sizes


def test_no_function_has_more_than_60_lines() -> None:
    assert {name: lines for name, lines in sizes.bodies().items() if lines > 60} == {}


def test_every_module_has_fewer_than_300_lines() -> None:
    assert {name: lines for name, lines in sizes.statements().items() if lines >= 300} == {}


def test_neither_signature_nor_docstring_counts() -> None:
    text = 'def f(\n    a,\n    b,\n):\n    """Add.\n\n    Long.\n    """\n    c = a + b\n    return c\n'
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    assert sizes.without_docstring(function) == 2


def test_what_is_measured_is_there() -> None:
    assert len(sizes.bodies()) > 1000
    assert "include/contrail/stages/train.py" in sizes.modules()

"""Sizes of functions and modules, in lines: ``python -m tests.sizes`` prints their median, 90th percentile and largest."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
ROOMS = ("include", "plugins", "dags")


def modules(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each module, by its path."""
    return {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in _sources(root)}


def statements(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each module, without docstrings: an example in one is no reason to split a module."""
    found = {}
    for path in _sources(root):
        text = path.read_text()
        parts = [node for node in ast.walk(ast.parse(text)) if isinstance(node, _WITH_DOCSTRING)]
        docstrings = sum(doc.count("\n") + 1 for part in parts if (doc := ast.get_docstring(part, clean=False)))
        found[str(path.relative_to(root))] = len(text.splitlines()) - docstrings
    return found


def bodies(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each function's body, without its docstring."""
    return {name: without_docstring(node) for name, node in _functions(root)}


def functions(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each function and method, decorators left out, by its path and line."""
    return {name: (node.end_lineno or node.lineno) - node.lineno + 1 for name, node in _functions(root)}


def without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body; neither its signature nor its docstring is a reason to split it."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def _functions(root: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in _sources(root):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(root)}:{node.lineno} {node.name}", node


def _sources(root: Path) -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((root / room).rglob("*.py"))


def _row(kind: str, sizes: dict[str, int]) -> tuple[str, ...]:
    largest = max(sizes, key=lambda name: sizes[name])
    tenths = statistics.quantiles(sizes.values(), n=10)
    median = statistics.median(sizes.values())
    return kind, f"{len(sizes):,}", f"{median:g}", f"{tenths[-1]:.0f}", f"{sizes[largest]}  {largest}"


if __name__ == "__main__":
    table = Table("lines of", "count", "median", "90 %", "largest")
    table.add_row(*_row("functions", functions()))
    table.add_row(*_row("modules", modules()))
    Console(width=140).print(table)

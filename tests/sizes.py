"""Sizes of functions and modules, in lines: ``python -m tests.sizes`` prints their median, 90th percentile and largest."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("include", "plugins", "dags")


def modules(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each module, by its path."""
    return {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in _sources(root)}


def functions(root: Path = PROJECT) -> dict[str, int]:
    """Lines of each function and method, decorators left out, by its path and line."""
    return {
        f"{path.relative_to(root)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in _sources(root)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


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

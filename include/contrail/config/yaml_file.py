"""Read a YAML file that people write: its values, and the line of each.

What a file may say belongs to the models. This module refuses what is no honest configuration: a file that grows when it is
read, a key that is written twice, a value that YAML cannot make. Each refusal names the line.
"""

import stat
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from contrail.errors import SpecError

Place = tuple[int | str, ...]

_MOST_BYTES = 1_000_000
_MOST_VALUES = 50_000  # with every alias written out; flight_delay has 700
_DEEPEST = 30
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class YamlFile:
    """The values of a file, and the line of each key or list entry by its place in them."""

    path: Path
    values: dict[str, Any]
    lines: Mapping[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """Line of a place, or of the nearest one around it; None for the top of the file."""
        return next((self.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.lines), None)


def read_yaml(path: Path, text: str | None = None) -> YamlFile:
    """Read a file whose top is a mapping.

    Args:
        path: The file.
        text: Its text, where the caller has read and changed it.

    Raises:
        SpecError: with the file, and the line where there is one.
    """
    text = read_text(path) if text is None else text
    try:
        _check_depth(path, text)
        loader = _FAST(text)
        try:
            return _values(path, loader)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise SpecError(f"{where}: this is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: this is not YAML: {error}") from error


def read_text(path: Path) -> str:
    """Read the text of a small file.

    Raises:
        SpecError: when it is not a file, is too large, or is not UTF-8.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for without end
            raise SpecError(f"{path} is not a file")
        if found.st_size > _MOST_BYTES:
            raise SpecError(f"{path} has {found.st_size:,} bytes; a file of settings has at most {_MOST_BYTES:,}")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise SpecError(f"{path} does not exist") from error
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SpecError(f"{path}, line {line}: this is not UTF-8 text; save the file as UTF-8") from error


def _check_depth(path: Path, text: str) -> None:
    """Refuse a deep or long file before anything recurses into it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, _FAST)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or count > 2 * _MOST_VALUES:
            what = f"more than {_DEEPEST} levels" if depth > _DEEPEST else f"more than {_MOST_VALUES:,} values"
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise SpecError(f"{path}, line {line}: the file has {what}")


def _values(path: Path, loader: Any) -> YamlFile:
    root = loader.get_single_node()
    if not isinstance(root, yaml.MappingNode):
        raise SpecError(f"{path}: the file must hold keys with values, as `name: …`")
    _check_size(path, root, {})
    lines = dict(_lines(path, loader, root, ()))
    return YamlFile(path, loader.construct_document(root), lines)


def _check_size(path: Path, node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a node with every alias written out, each node once."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # so that a node within itself is too large
        known[id(node)] = 1 + sum(_check_size(path, child, known) for child in _children(node))
    if known[id(node)] > _MOST_VALUES:
        raise SpecError(
            f"{path}, line {node.start_mark.line + 1}: aliases (*) make the file grow to more than {_MOST_VALUES:,} "
            "values. Write out what you mean."
        )
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        yield from child if isinstance(child, tuple) else (child,)


def _lines(path: Path, loader: Any, node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    """Yield the line of each place, and check every key and value on the way."""
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        for key, value in node.value:
            inside = place if key.tag == _MERGE else (*place, key.value)
            yield inside, key.start_mark.line + 1
            yield from _lines(path, loader, value, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _lines(path, loader, value, (*place, index))
    elif isinstance(node, yaml.ScalarNode):
        _check_value(path, loader, node)


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    seen: dict[Hashable, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise SpecError(f"{path}, line {line}: a key must be a word, not a list or a mapping")
        if key.tag not in (_TEXT, _MERGE):
            kind = key.tag.rpartition(":")[2]
            raise SpecError(
                f"{path}, line {line}: YAML reads the key {key.value or '(empty)'} as {kind}, not as a word. Write it in "
                f'quotes: "{key.value}"'
            )
        if key.value in seen:
            raise SpecError(
                f"{path}, line {line}: the key {key.value} is written twice, first on line {seen[key.value]}. Keep one."
            )
        seen[key.value] = line


def _check_value(path: Path, loader: Any, node: yaml.ScalarNode) -> None:
    try:
        loader.construct_object(node)
    except (ValueError, OverflowError) as error:  # 2024-02-31; a number of thousands of digits
        raise SpecError(f"{path}, line {node.start_mark.line + 1}: {node.value[:40]}: {error}") from error

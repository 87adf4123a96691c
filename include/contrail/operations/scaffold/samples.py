"""The tables of a sample: copy its files, read them, and say which of them has the rows to predict."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from contrail.adapters.sample_files import Header, Sample, copy_as_utf8, header_of, read
from contrail.operations.scaffold import words
from contrail.operations.scaffold.choices import Choice, Choices, NewOptions


def read_all(
    connection: duckdb.DuckDBPyConnection,
    samples: Sequence[str],
    folder: Path,
    options: NewOptions,
    choices: Choices,
    taken: Sequence[str],
) -> list[Sample]:
    """Copy the files into a folder and read them. Files of one header are one table.

    Args:
        connection: A session whose variable ``zone`` has the zone of times without one.
        samples: The files, each as a path or as ``table=path``.
        folder: The new folder of the copies.
        options: What a person says of the sample.
        choices: Where each file's dialect is told.
        taken: Names that no table may have.

    Returns:
        The tables, the one to predict from first.

    Raises:
        DataError: A file cannot be read, or two have one name.
    """
    folder.mkdir()
    tables: dict[tuple[str, ...], tuple[str, Header, list[Path]]] = {}
    for text in samples:
        table, path = _asked_for(text)
        copy, encoding = copy_as_utf8(path, folder)
        header = header_of(connection, copy, path)
        if encoding not in ("", "utf-8"):
            header = header._replace(landed={**header.landed, "encoding": encoding})
        _, _, files = tables.setdefault((table, *header.names), (table or _table_name(path), header, []))
        files.append(copy)
        choices.made.append(Choice("file", path.name, f"{header.dialect}{f', {encoding}' if encoding else ''}"))
    used, found = set(taken), []
    for name, header, files in tables.values():
        (unique,) = words.names_of([name], used)
        used.add(unique)
        found.append(read(connection, unique, files, header, words.names_of(header.names)))
    return sorted(found, key=lambda sample: _rank(sample, options))


def _rank(sample: Sample, options: NewOptions) -> tuple[bool, bool, int]:
    """The sample with the label that was named comes first, else the longest with a time."""
    label = any(options.label in (column.given, column.name) for column in sample.columns)
    time = any(column.type in ("date", "timestamp") for column in sample.columns)
    return not label, not time, -sample.rows


def _asked_for(text: str) -> tuple[str, Path]:
    """``table=path``, or a path alone. A file with such a name is ``./table=path``."""
    table, equals, path = text.partition("=")
    return (words.name_of(table), Path(path)) if equals and table.isidentifier() else ("", Path(text))


def _table_name(path: Path) -> str:
    return words.name_of(path.name.partition(".")[0]).rstrip("_0123456789") or "sample"

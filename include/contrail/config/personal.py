"""How values of personal columns are shown: not at all, or as pseudonyms that are the same for the same value.

Who may see them is decided where they are shown.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from contrail.config.names import literal, quoted
from contrail.config.table_spec import ColumnType

MASK = "•••"
# Rules of landed files whose words quote a part of a row, and not only names of columns.
SHOW_ROWS = frozenset(
    {
        "ragged_row",
        "not_utf8",
        "not_gzip",
        "unreadable",
        "extra_column",
        "repeated_column",
        "not_json",
        "not_zstd",
        "not_parquet",
        "wrong_encoding",
    }
)
_LEAST = 4  # characters; a shorter value occurs in other words too
_QUOTES = re.compile(r"'.*'|\".*\"", re.DOTALL)


def without_quotes(words: str) -> str:
    """Take out of words what they quote of a row, from the first quotation mark to the last."""
    return _QUOTES.sub(MASK, words)


def hidden(values: Mapping[str, Any], personal: Collection[str]) -> dict[str, Any]:
    """Values by column as messages show them: those of personal columns are hidden.

    Example:
        >>> hidden({"order": 7, "customer": 4711}, {"customer"})
        {'order': 7, 'customer': '•••'}
    """
    return {name: MASK if name in personal else value for name, value in values.items()}


def masked_sql(words: str, columns: Iterable[str]) -> str:
    """Make SQL for words without the values of a landed row ``l``, all text.

    A value goes wherever it stands, and after the name of its column even if it is short.
    """
    for name in sorted(columns):
        value = f"l.{quoted(name)}"
        long = f"coalesce(CASE WHEN length({value}) >= {_LEAST} THEN {value} END, chr(1))"
        whole = f"replace({words}, {long}, '{MASK}')"
        pattern = literal(rf'\b({re.escape(name)}(?:=|: "?))[^,;"•]+')
        words = f"regexp_replace({whole}, {pattern}, '\\1{MASK}', 'g')"
    return words


def pseudonym_sql(value: str, kind: ColumnType, key: str) -> str:
    """Make SQL for a pseudonym of a value: of its own type, so that queries go on working; null of a time or a flag.

    Args:
        value: SQL of the value.
        kind: Its type.
        key: A secret, without which nobody can look for the value that has a pseudonym.
    """
    digest = f"sha256({literal(key)} || {value}::VARCHAR)"
    if kind == "string":
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE 'p_' || left({digest}, 16) END"
    if kind == "int":
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE ('0x' || left({digest}, 15))::BIGINT END"
    return f"CASE WHEN true THEN NULL ELSE {value} END"

"""Move a table away, with all of its rows and snapshots, so that it can be made anew under its name.

The table keeps its files where they are. The new one gets a place of its own. What may change without this belongs to
``evolution``.
"""

import secrets
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from contrail.lake.catalog import Tables

NAME = "contrail.table"
_BEFORE = "_before_"


def move_away(tables: "Tables", name: str, today: date) -> str:
    """Give a table another name, and return the name: ``features_before_2024_03_01``.

    It is one atomic act, but on a REST catalog, where the table has both names for a moment. Stopped there, the same
    call goes on.

    Raises:
        MissingInputError: when there is no such table.
    """
    existing = tables.table_names()
    uuid = tables.table(name).metadata.table_uuid  # an error names all tables, if this one does not exist
    begun = (one for one in moved_tables(existing, name) if tables.table(one).metadata.table_uuid == uuid)
    stem = f"{name}{_BEFORE}{today:%Y_%m_%d}"
    numbered = (one for one in (stem, *(f"{stem}_{n}" for n in range(2, len(existing) + 3))) if one not in existing)
    free = next(chain(begun, numbered))
    # The name is in the metadata as well, for whoever finds the table without its catalog.
    tables.commit(name, lambda: _name(tables.table(name), free))
    if tables.settings.catalog.type == "rest":
        tables.commit(name, lambda: _move(tables, name, free))
    else:
        tables.catalog.rename_table((tables.stored, name), (tables.stored, free))
    return free


def _move(tables: "Tables", name: str, free: str) -> None:
    """Register a table under its new name, and then take the old name away. BigLake's catalog cannot rename."""
    if not tables.exists(name):
        return  # an earlier attempt, whose answer was lost
    if tables.exists(free):
        tables.catalog.drop_table((tables.stored, free))
    location = tables.table(name).metadata_location
    tables.catalog.register_table((tables.stored, free), location)
    if tables.table(name).metadata_location != location:
        raise CommitFailedException(f"{name} was changed while it was moved away")
    tables.catalog.drop_table((tables.stored, name))


def _name(table: "Table", name: str) -> None:
    with table.transaction() as transaction:
        transaction.set_properties(name_of(name))


def name_of(name: str) -> dict[str, str]:
    """Return the property in which a table's metadata has its name. Its folder may have another."""
    return {NAME: name}


def moved_tables(existing: list[str], name: str) -> list[str]:
    """List the tables that a table of this name was moved to."""
    return [one for one in existing if one.startswith(f"{name}{_BEFORE}")]


def free_location(tables: "Tables", name: str) -> str | None:
    """Return a place for a new table of this name; None for the catalog's own choice, where nothing lies yet.

    Two tables in one place would mix their files: what removes files of one could remove the other's.
    """
    moved = moved_tables(tables.table_names(), name)
    return f"{tables.table(moved[0]).location()}-{secrets.token_hex(4)}" if moved else None

"""What upkeep must not leave in a table."""

from pyiceberg.table import Table

from contrail.lake.orphans import unreferenced


def leftovers(table: Table) -> set[str]:
    """The files that no snapshot refers to.

    Not among them are earlier metadata files, which the table's log has and catalogs read again after a lost answer.
    """
    earlier = {entry.metadata_file.removeprefix("file://") for entry in table.metadata.metadata_log}
    return {one.path for one in unreferenced(table)} - earlier

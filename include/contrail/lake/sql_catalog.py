"""The Iceberg catalog in a database, which reads each metadata file of a table once.

Which catalog there is belongs to ``catalog``.
"""

from collections import OrderedDict
from typing import Any

from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.table import Table

_KEPT = 64  # tables, each with some hundred kilobytes


class RememberingSqlCatalog(SqlCatalog):
    """PyIceberg's SQL catalog. A stage loads a table dozens of times, and its metadata has every kept snapshot.

    The database says each time which metadata file is the table's current one. A metadata file never changes.
    """

    def __init__(self, name: str, **properties: Any) -> None:
        super().__init__(name, **properties)
        self._known: OrderedDict[str, Table] = OrderedDict()

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        known = self._known.get(orm_table.metadata_location or "")
        if known is None or not known.io.new_input(known.metadata_location).exists():
            known = super()._convert_orm_to_iceberg(orm_table)
            self._known[known.metadata_location] = known
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        # The caller's own: a commit changes the metadata of the table that made it.
        return Table(known.name(), known.metadata, known.metadata_location, known.io, self)

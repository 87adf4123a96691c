"""How a published table follows its dataset: columns come, go, widen and get other names, without a rewritten file.

A name means one column for the life of a table. A column that went comes back with its values. A change that
Iceberg cannot make is refused, and ``moving`` has the way out. Reading and writing rows does not belong here.
"""

from collections.abc import Iterator
from itertools import count

from pyiceberg.exceptions import ResolveError
from pyiceberg.schema import Schema, promote
from pyiceberg.table import Table
from pyiceberg.table.update import AddSchemaUpdate, AssertCurrentSchemaId, AssertTableUUID, SetCurrentSchemaUpdate
from pyiceberg.types import (
    BooleanType,
    DateType,
    DoubleType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from contrail.config.names import without_sandbox
from contrail.errors import SchemaError
from contrail.lake.datasets import Dataset

# The key is no part of an Iceberg schema that every catalog keeps; a property of the table has it.
KEY = "contrail.key"
_WORDS: dict[type[IcebergType], str] = {
    StringType: "string",
    LongType: "int",
    DoubleType: "float",
    BooleanType: "bool",
    DateType: "date",
    TimestamptzType: "timestamp",
}


def key_of(dataset: Dataset) -> dict[str, str]:
    """Return the property in which a table keeps its key."""
    return {KEY: ",".join(dataset.key)}


def evolved(dataset: Dataset, table: Table) -> Schema:
    """Return the schema with which a table fits its dataset; that of the table where nothing changes.

    Columns are added as optional, relaxed, widened, dropped, and renamed as ``renamed_from`` says.

    Raises:
        SchemaError: naming each column that cannot follow, with both types, and the command that moves the table away.
    """
    known = _Known(table)
    fields: list[NestedField] = []
    problems = list(_layout_problems(dataset, table, known))
    new_ids = count(table.metadata.last_column_id + 1)
    for wanted in dataset.iceberg_schema().fields:
        own = known.named(wanted.name, *dataset.columns[wanted.name].renamed_from)
        problems += _column_problems(wanted, own, dataset)
        fields.append(
            NestedField(
                own[0].field_id if own else next(new_ids),
                wanted.name,
                wanted.field_type,
                required=wanted.required and bool(own) and known.has_no_nulls(own[0]),
                doc=wanted.doc,
            )
        )
    if problems:
        namespace, name = without_sandbox(table.name()[0]), table.name()[-1]
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SchemaError(
            f"the table {name} cannot become what pipeline.yaml asks for:\n{listed}\n"
            "Nothing was changed; readers still see the published rows. Give these columns back what the table has, "
            "or move the table away, with all of its rows, and make it anew:\n"
            f"  contrail move-away {name} -p {namespace}"
        )
    schema = Schema(*fields, schema_id=1 + max(table.schemas()))
    return table.schema() if _shape(schema) == _shape(table.schema()) else schema


def evolve(dataset: Dataset, table: Table) -> Table:
    """Bring a table's columns to its dataset, in one atomic commit. The table has no other rows than before.

    Raises:
        SchemaError: as ``evolved``. Nothing was changed.
        CommitFailedException: when another writer changed the table meanwhile.
    """
    current, wanted = table.schema(), evolved(dataset, table)
    if wanted is current:
        return table
    # PyIceberg's own update cannot bring a column back under its id, and would call it a new one.
    before = next((schema for schema in table.schemas().values() if schema == wanted), None)
    updates = (
        (SetCurrentSchemaUpdate(schema_id=before.schema_id),)
        if before
        else (AddSchemaUpdate(schema=wanted), SetCurrentSchemaUpdate(schema_id=-1))
    )
    unchanged = (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertCurrentSchemaId(current_schema_id=current.schema_id),
    )
    table.catalog.commit_table(table, unchanged, updates)
    return table.refresh()


class _Known:
    """Every column that a table has, or had, by its names."""

    def __init__(self, table: Table) -> None:
        self._ids: dict[str, int] = {}
        self._fields: dict[int, list[NestedField]] = {}
        earlier = [schema for _, schema in sorted(table.schemas().items()) if schema != table.schema()]
        for schema in (*earlier, table.schema()):
            for field in schema.fields:
                self._ids[field.name] = field.field_id
                self._fields.setdefault(field.field_id, []).append(field)
        self._current = {field.field_id for field in table.schema().fields}

    def named(self, *names: str) -> list[NestedField]:
        """Return the columns of these names as they were last, first the one of the first name."""
        ids = dict.fromkeys(self._ids[name] for name in names if name in self._ids)
        return [self._fields[one][-1] for one in ids]

    def has_no_nulls(self, field: NestedField) -> bool:
        """Say whether every row has a value. A file from a time without the column has none."""
        return field.field_id in self._current and all(one.required for one in self._fields[field.field_id])

    def ids(self, names: tuple[str, ...]) -> set[int | None]:
        """Return the ids of the columns of these names."""
        return {self._ids.get(name) for name in names}


def _column_problems(wanted: NestedField, own: list[NestedField], dataset: Dataset) -> Iterator[str]:
    if not own:
        if wanted.required:
            yield f"{wanted.name}: new, so it must be optional (required: false); published rows have no value"
        return
    there = own[0]
    if len(own) > 1:
        names = " and ".join(field.name for field in own)
        yield f"{wanted.name}: renamed_from makes one column of {names}, which are two in the table"
    if there.name != wanted.name and there.name in dataset.columns:
        yield f"{wanted.name}: was the name of the column {there.name} before; choose another name"
    elif not _widens(there.field_type, wanted.field_type):
        yield f"{wanted.name}: {_words(there.field_type)} in the table, {_words(wanted.field_type)} in the spec"


def _layout_problems(dataset: Dataset, table: Table, known: _Known) -> Iterator[str]:
    parts = [field.name for field in table.spec().fields]
    if parts != list(dataset.partition_by):
        there, wanted = (", ".join(names) or "none (replaced whole)" for names in (parts, dataset.partition_by))
        yield f"partitions: {there} in the table, {wanted} in the spec"
    key = tuple(filter(None, table.properties.get(KEY, "").split(",")))
    wanted_ids = set()
    for name in dataset.key:
        wanted_ids |= {f.field_id for f in known.named(name, *dataset.columns[name].renamed_from)[:1]} or {None}
    if key and known.ids(key) != wanted_ids:
        yield f"key: {', '.join(key)} in the table, {', '.join(dataset.key)} in the spec"


def _widens(old: IcebergType, new: IcebergType) -> bool:
    try:
        # PyIceberg reads strings as binary too, which is no promotion of a table's column.
        return old == new or (not isinstance(old, StringType) and bool(promote(old, new)))
    except ResolveError:
        return False


def _words(kind: IcebergType) -> str:
    return _WORDS.get(type(kind), str(kind))


def _shape(schema: Schema) -> list[tuple[int, str, IcebergType, bool]]:
    """What readers see of a schema. Documentation alone is no reason for a commit; it follows the next one."""
    return [(field.field_id, field.name, field.field_type, field.required) for field in schema.fields]


def earlier_names(table: Table, schema: Schema) -> dict[int, tuple[str, ...]]:
    """Return the other names that files of a table may give to each column of a schema, by field id."""
    found: dict[int, dict[str, None]] = {field.field_id: {} for field in schema.fields}
    now = {field.field_id: field.name for field in schema.fields}
    for _, other in sorted(table.schemas().items(), reverse=True):
        for field in other.fields:
            if field.field_id in found and field.name != now[field.field_id]:
                found[field.field_id][field.name] = None
    return {one: tuple(names) for one, names in found.items() if names}

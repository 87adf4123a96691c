"""The lake's datasets as BigQuery tables: columns, clustering, and how an existing table may change."""

from typing import Any

from google.cloud import bigquery

from contrail.config.table_spec import ColumnType
from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION, Dataset

TYPES: dict[ColumnType, str] = {
    "string": "STRING",
    "int": "INT64",
    "float": "FLOAT64",
    "bool": "BOOL",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
}
# The service always answers with the old names.
_OLD_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_MOST_CLUSTERED = 4  # BigQuery's limit


def schema_of(dataset: Dataset) -> list[bigquery.SchemaField]:
    """Return the columns with type, mode and documentation."""
    return [
        bigquery.SchemaField(name, TYPES[c.type], "REQUIRED" if c.required else "NULLABLE", description=c.doc)
        for name, c in dataset.columns.items()
    ]


def clustering_of(dataset: Dataset) -> list[str]:
    """Return the part of the key that BigQuery can cluster by: at most four columns, none of them a float."""
    usable = [name for name in dataset.key if dataset.columns[name].type != "float" and name != PARTITION]
    return usable[:_MOST_CLUSTERED]


def evolved(table: str, old: list[bigquery.SchemaField], dataset: Dataset) -> list[bigquery.SchemaField]:
    """Return the new schema of an existing table. Columns come, become optional, and get other documentation.

    A column that the dataset no longer has stays, may be null, and is in no view. So no row loses anything.

    Raises:
        SpecError: naming the columns that have another type.
    """
    wanted = {field.name: field for field in schema_of(dataset)}
    types = {field.name: _OLD_NAMES.get(field.field_type, field.field_type) for field in old}
    broken = [
        f"{name} ({kind} there, {wanted[name].field_type} in the spec)"
        for name, kind in types.items()
        if name in wanted and wanted[name].field_type != kind
    ]
    if broken:
        raise SpecError(
            f"{table} cannot take the pipeline's columns: {', '.join(broken)}. Nothing was published. Give the columns "
            f"their types back, or copy the table away and drop it (bq cp {_told(table)} {_told(table)}_before; "
            f"bq rm -t {_told(table)}), and publish every partition again."
        )
    gone = [nullable(field) for field in old if field.name not in wanted]
    nulls = {field.name for field in old if field.mode == "NULLABLE"}
    # Old rows have no value in a new column, so BigQuery accepts no new REQUIRED column.
    kept = {name: nullable(field) if name in nulls or name not in types else field for name, field in wanted.items()}
    here = {**{field.name: field for field in gone}, **kept}
    return [here[name] for name in [*types, *(name for name in wanted if name not in types)]]


def renamed(old: list[bigquery.SchemaField], dataset: Dataset) -> dict[str, str]:
    """Return the columns that an existing table has under an earlier name only, with that name."""
    there = {field.name for field in old}
    return {
        name: earlier
        for name, column in dataset.columns.items()
        if name not in there
        for earlier in column.renamed_from
        if earlier in there
    }


def _told(table: str) -> str:
    """The table's name as the command ``bq`` takes it."""
    return table.replace(".", ":", 1)


def nullable(field: bigquery.SchemaField) -> bigquery.SchemaField:
    """Return the column as views have it, never REQUIRED."""
    kind = _OLD_NAMES.get(field.field_type, field.field_type)
    return bigquery.SchemaField(field.name, kind, "NULLABLE", description=field.description)


def comparable(value: Any) -> Any:
    """Return a table's property in a form that is equal when the service would store the same."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], bigquery.SchemaField):
        return [(f.name, _OLD_NAMES.get(f.field_type, f.field_type), f.mode, f.description or None) for f in value]
    return list(value) if isinstance(value, tuple) else value

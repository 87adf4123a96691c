"""Parquet files, on a disk or in an object store.

A column may have had another name when a file was written. Its field in an Arrow schema says so (``with_earlier``), and
every reader finds its values under any of its names.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem
from upath import UPath

from contrail.files import is_local

_EARLIER = b"contrail.earlier_names"
_FIELD_ID = b"PARQUET:field_id"
_BATCH_ROWS = 32_768


def with_earlier(field: pa.Field, names: Sequence[str]) -> pa.Field:
    """Return the field of a column that files may know by these names as well."""
    known = {_EARLIER: "\n".join(names).encode()} if names else {}
    return field.with_metadata({**(field.metadata or {}), **known} or None)


def earlier_of(field: pa.Field) -> list[str]:
    """Return the other names that files may give to a column."""
    found = (field.metadata or {}).get(_EARLIER, b"").decode()
    return found.split("\n") if found else []


def field_id(field: pa.Field) -> int:
    """Return the id by which files know a column, whatever its name."""
    return int(field.metadata[_FIELD_ID])


def plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema without ids and earlier names, as rows have it."""
    return pa.schema([field.remove_metadata() for field in schema])


def in_files(schema: pa.Schema) -> pa.Schema:
    """Return a schema with each name that files may give to a column as a column of its own. A file has one of them."""
    named = {field.name: earlier_of(field) for field in schema}
    # Of several names all but one are null in every file.
    return pa.schema(
        [
            own.with_name(name).with_nullable(own.nullable or bool(named[own.name]))
            for own in plain(schema)
            for name in (own.name, *named[own.name])
        ]
    )


def read_rows(uris: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Read the rows of one or more files, in order. A column is null where a file has none of its names."""
    return _named_now(parquet_files(uris, in_files(schema)).to_table(), schema)


def read_batches(uris: Sequence[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Read the rows as ``read_rows`` does, a few batches at a time. No file gives none."""
    for batch in batches_of(parquet_files(uris, in_files(schema))) if uris else ():
        yield from _named_now(pa.Table.from_batches([batch]), schema).to_batches()


def batches_of(rows: pads.Dataset, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of files in order. Arrow by itself would read up to 64 batches ahead."""
    return iter(rows.to_batches(columns=columns, batch_size=_BATCH_ROWS, batch_readahead=2, fragment_readahead=1))


def _named_now(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    if rows.column_names == schema.names:
        return rows
    columns = [pc.coalesce(*(rows[name] for name in (field.name, *earlier_of(field)))) for field in schema]
    return pa.Table.from_arrays(columns, schema=plain(schema))


def parquet_files(uris: Sequence[str], schema: pa.Schema | None = None) -> pads.Dataset:
    """Open one or more Parquet files of one place as a dataset. Without ``schema`` it has the files' own."""
    path = UPath(uris[0])
    if is_local(path):
        filesystem, prefix = LocalFileSystem(), "file://"
    else:
        filesystem, prefix = PyFileSystem(FSSpecHandler(path.fs)), f"{path.protocol}://"
    paths = [uri.removeprefix(prefix) for uri in uris]
    return pads.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)


def read_folder(folder: UPath, columns: list[str] | None = None) -> pa.Table:
    """Read the rows of all Parquet files in a folder, without its subfolders; by default all columns.

    Raises:
        FileNotFoundError: when the folder has none.
    """
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"no Parquet files in {folder}")
    return parquet_files(files).to_table(columns=columns)

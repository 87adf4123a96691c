"""Parquet files on a disk and in an object store, alike."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as pads
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem
from upath import UPath


def parquet_files(uris: Sequence[str], schema: pa.Schema | None = None) -> pads.Dataset:
    """Parquet files of one place, one or more, as a dataset; their own schema, unless one is given."""
    path = UPath(uris[0])
    if path.protocol in ("", "file"):
        filesystem, prefix = LocalFileSystem(), "file://"
    else:
        filesystem, prefix = PyFileSystem(FSSpecHandler(path.fs)), f"{path.protocol}://"
    paths = [uri.removeprefix(prefix) for uri in uris]
    return pads.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)


def read_folder(folder: UPath) -> pa.Table:
    """The rows of all Parquet files right in a folder.

    Raises:
        FileNotFoundError: when there are none.
    """
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"no Parquet files in {folder}")
    return parquet_files(files).to_table()

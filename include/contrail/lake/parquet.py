"""Parquet files, on a disk or in an object store."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as pads
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem
from upath import UPath


def parquet_files(uris: Sequence[str], schema: pa.Schema | None = None) -> pads.Dataset:
    """Open one or more Parquet files of one place as a dataset. Without ``schema`` it has the files' own."""
    path = UPath(uris[0])
    if path.protocol in ("", "file"):
        filesystem, prefix = LocalFileSystem(), "file://"
    else:
        filesystem, prefix = PyFileSystem(FSSpecHandler(path.fs)), f"{path.protocol}://"
    paths = [uri.removeprefix(prefix) for uri in uris]
    return pads.dataset(paths, schema=schema, format="parquet", filesystem=filesystem)


def read_folder(folder: UPath) -> pa.Table:
    """Read the rows of all Parquet files in a folder, without its subfolders.

    Raises:
        FileNotFoundError: when the folder has none.
    """
    files = sorted(str(path) for path in folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"no Parquet files in {folder}")
    return parquet_files(files).to_table()

"""Write tables into the landing zone as a feed would: ``<table>/<YYYY-MM-DD>.csv.gz``, ``<table>/reference.csv.gz``.

The shipped pipelines and the tests land their own files with it. Reading the landing zone belongs to the ingest stage.
"""

import csv
import gzip
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from upath import UPath

from contrail.config.file_names import REFERENCE
from contrail.files import write_whole
from contrail.partitions import Partitions


def land_daily(
    landing: UPath,
    table: str,
    rows: pd.DataFrame,
    by: str,
    partitions: Partitions,
    timezone: str = "UTC",
) -> int:
    """Write one file for each day of ``partitions`` that has rows. A file with the same content stays untouched.

    Args:
        landing: The pipeline's folder of the landing zone.
        table: Name of the landed table.
        rows: Rows with all columns of the table. Their order stays the same within a day. Instants must be in UTC.
        by: The column with the day: a date, or an instant. The date of an instant is its date in ``timezone``.
        partitions: Days to write.
        timezone: Zone of the pipeline, for instants.

    Returns:
        The number of files written.

    Example:
        >>> rows = pd.DataFrame({"day": pd.to_datetime(["2024-03-09", "2024-03-10", "2024-03-10"]), "parcel": [1, 2, 3]})
        >>> land_daily(landing, "parcels", rows, "day", Partitions.parse("2024-03-09", "2024-03-10"))
        2
        >>> sorted(path.name for path in (landing / "parcels").iterdir())
        ['2024-03-09.csv.gz', '2024-03-10.csv.gz']

        The same rows again change nothing:

        >>> land_daily(landing, "parcels", rows, "day", Partitions.parse("2024-03-09", "2024-03-10"))
        0
    """
    instants = isinstance(rows[by].dtype, pd.DatetimeTZDtype)
    local = rows[by].dt.tz_convert(timezone).dt.tz_localize(None) if instants else rows[by]
    day = _iso(local, "D", "")
    wanted = day.between(str(partitions.start), str(partitions.end))
    files = _daily_files(rows[wanted], day[wanted])
    return sum(_write(landing / table / f"{name}.csv.gz", text) for name, text in files)


def land_reference(landing: UPath, table: str, rows: pd.DataFrame) -> int:
    """Write the one file of a reference table, unless it exists with the same content.

    Args:
        landing: The pipeline's folder of the landing zone.
        table: Name of the landed table.
        rows: All its rows and columns.

    Returns:
        The number of files written: 1, or 0 when the file exists already.

    Example:
        >>> depots = pd.DataFrame({"depot": ["A", "B"], "distance": [5.0, 20.0]})
        >>> land_reference(landing, "depots", depots), land_reference(landing, "depots", depots)
        (1, 0)
    """
    return int(_write(landing / table / f"{REFERENCE}.csv.gz", _csv(rows)))


def _daily_files(rows: pd.DataFrame, day: pd.Series) -> Iterator[tuple[str, str]]:
    ordered = rows.loc[day.sort_values(kind="stable").index]
    counts = day.value_counts().sort_index()
    # One to_csv for all days, cut by lines, is 3 times faster over a year than one call per day.
    header, *lines = [f"{line}\n" for line in _csv(ordered).split("\n")[:-1]]
    one_line_each = len(lines) == len(ordered)
    start = 0
    for name, count in counts.items():
        own = slice(start, start + count)
        yield str(name), header + "".join(lines[own]) if one_line_each else _csv(ordered.iloc[own])
        start += count


def _csv(rows: pd.DataFrame) -> str:
    """Make CSV with a header. Null is an empty field; instants look like ``2013-01-01T05:15:00Z``."""
    text = rows.copy(deep=False)
    for name, column in rows.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            text[name] = _iso(column.dt.tz_convert(None), "s", "Z")
        elif pd.api.types.is_datetime64_dtype(column):
            text[name] = _iso(column, "D", "")
    plain = str(text.to_csv(index=False, lineterminator="\n"))
    # Before Python 3.13, a writer leaves a lone CR outside quotes.
    return str(text.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)) if "\r" in plain else plain


def _iso(column: pd.Series, unit: Literal["s", "D"], suffix: str) -> pd.Series:
    # Series.dt.strftime took half of the time of landing a year.
    known = column.notna()
    text = pd.Series(None, index=column.index, dtype=object)
    text[known] = np.datetime_as_string(column[known].to_numpy(), unit=unit).astype(object) + suffix
    return text


def _write(path: UPath, text: str) -> bool:
    # mtime=0: the same rows give the same bytes at any time.
    content = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return False
    write_whole(path, content)
    return True

"""The parts of a pipeline's spec that say how a table lands: names and forms of its files, or the query that makes them.

What the rows hold does not belong here.
"""

import codecs
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from contrail.config.file_names import Format, format_of, pattern_problem
from contrail.config.problems import Problem
from contrail.config.queries import query_problem
from contrail.frozen import Frozen

_SUFFIXES: dict[Format, str] = {"csv": ".csv.gz", "jsonl": ".jsonl.gz", "parquet": ".parquet"}


def _as_text(value: Any) -> Any:
    return "" if value is None else value


class LandedSpec(Frozen):
    """How the files of a table are called and written. `files` below the table's folder in the landing zone.

    `{date}` is the day, `{date:%Y%m%d}` in another form; `*` is any part of a name, for several files a day. The end of a
    name (`.csv`, `.jsonl`, `.parquet`, then `.gz` or `.zst`) tells format and compression.
    """

    files: str | None = Field(
        default=None,
        description="Their names, as `{date}/part-*.parquet`. Empty: `{date}.csv.gz`, or as `format` asks.",
    )
    format: Format | None = Field(default=None, description="Needed only where the names do not tell it.")
    complete: str | None = Field(
        default=None,
        description="Name of the file that says that a delivery is complete, as `{date}/_SUCCESS`. Empty: the files that "
        "are there are the delivery.",
    )
    delimiter: str = Field(default=",", description="CSV: the character between fields.")
    quote: Annotated[Literal['"', "'", ""], BeforeValidator(_as_text)] = Field(
        default='"', description="CSV: the character around fields that hold others; empty for none."
    )
    decimal: Literal[".", ","] = Field(default=".", description="CSV: the mark before the decimals of a number.")
    encoding: str = Field(default="utf-8", description="CSV: the encoding of the text, as Python names it.")


class SourceSpec(Frozen):
    """A query whose rows are the table. `contrail land` writes each day's rows as one landed file.

    A connection to Postgres is the environment variable `AIRFLOW_CONN_<NAME>`, or a secret under `connections` in the
    environment file. BigQuery is asked as the account of the process.
    """

    kind: Literal["postgres", "bigquery"] = Field(description="Which database answers the query.")
    query: str = Field(description="SQL of the rows, with `:start` and `:end` of the day, or `:day`, as parameters.")
    connection: str | None = Field(
        default=None, pattern=r"^[a-z][a-z0-9_]*$", description="Postgres: name of the connection."
    )
    project: str | None = Field(
        default=None, description="BigQuery: the project that the query runs in, and pays. Empty: that of the account."
    )
    location: str | None = Field(
        default=None, description="BigQuery: where the data lie, as `EU`. Empty: it finds out."
    )


def landed_format(landed: LandedSpec, source: SourceSpec | None) -> Format:
    """The format of a table's files: as the spec says, as their names tell, or the default."""
    told = landed.format or (format_of(landed.files) if landed.files else None)
    return told or ("parquet" if source else "csv")


def landed_pattern(landed: LandedSpec, source: SourceSpec | None, *, daily: bool) -> str:
    """The pattern of the names of a table's files."""
    stem = "{date}" if daily else "reference"
    return landed.files or f"{stem}{_SUFFIXES[landed_format(landed, source)]}"


def landed_problems(landed: LandedSpec, source: SourceSpec | None, *, daily: bool) -> Iterator[Problem]:
    """List what is wrong with how a table lands."""
    kind = landed_format(landed, source)
    yield from _name_problems(landed, daily)
    if kind == "csv":
        yield from _dialect_problems(landed)
    else:
        for key in ("delimiter", "quote", "decimal", "encoding"):
            if key in landed.model_fields_set:
                yield Problem(("landed", key), f"only CSV has it, and the files are {kind}; leave it out")
    if source is not None:
        yield from _source_problems(landed, source, kind, daily)


def _source_problems(landed: LandedSpec, source: SourceSpec, kind: Format, daily: bool) -> Iterator[Problem]:
    if kind != "parquet":
        yield Problem(("landed", "format"), "rows of a source are landed as Parquet; leave it out")
    if landed.files and "*" in landed.files:
        yield Problem(("landed", "files"), "rows of a source are landed as one file a day; leave the * out")
    if landed.complete:
        yield Problem(("landed", "complete"), "a landed file of a source appears whole; leave the marker out")
    if said := query_problem(source.query, daily=daily):
        yield Problem(("source", "query"), said)
    if source.kind == "postgres" and not source.connection:
        yield Problem(("source",), "Postgres needs connection: the name of a connection, never its address or password")
    for key in ("project", "location") if source.kind == "postgres" else ("connection",):
        if getattr(source, key):
            yield Problem(("source", key), f"{source.kind} has no {key}; leave it out")


def _name_problems(landed: LandedSpec, daily: bool) -> Iterator[Problem]:
    if landed.files is not None:
        if said := pattern_problem(landed.files, daily=daily):
            yield Problem(("landed", "files"), said)
        elif (told := format_of(landed.files)) and landed.format and told != landed.format:
            yield Problem(("landed", "format"), f"the names in files say {told}; leave format out, or change the names")
        elif not (told or landed.format):
            yield Problem(("landed", "files"), "the names do not tell the format; add format: csv, jsonl or parquet")
        elif landed.files.endswith((".parquet.gz", ".parquet.zst")):
            yield Problem(("landed", "files"), "Parquet compresses its own pages; land it without .gz or .zst")
    if landed.complete is not None:
        if said := pattern_problem(landed.complete, daily=daily, marker=True):
            yield Problem(("landed", "complete"), said)
        elif "/" in landed.complete and landed.complete.rpartition("/")[0] != (landed.files or "").rpartition("/")[0]:
            yield Problem(("landed", "complete"), "the marker lies in the folder of the files, or in the table's own")


def _dialect_problems(landed: LandedSpec) -> Iterator[Problem]:
    mark = landed.delimiter
    if len(mark) != 1 or not mark.isascii() or mark.isalnum() or mark in "\r\n\0\"'.-+":
        yield Problem(
            ("landed", "delimiter"), f'{mark!r} cannot part fields; use one character such as ; or | or "\\t"'
        )
    if landed.decimal == mark:
        yield Problem(("landed", "decimal"), "it is the delimiter, too; set delimiter to another character, such as ;")
    try:
        text = getattr(codecs.lookup(landed.encoding), "_is_text_encoding", True)
    except LookupError:
        text = False
    if not text:
        yield Problem(
            ("landed", "encoding"), f"no such encoding: {landed.encoding!r}; use utf-8, cp1252, utf-16 or latin-1"
        )

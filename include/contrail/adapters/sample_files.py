"""Look into a stranger's files: their encoding, their dialect, and what each column holds.

DuckDB's sniffer finds delimiter and quotes. Every value is read as text, as the landed files are, and judged by the casts
of ``methods.casting``. So a column has the type in which ``validate`` would keep its values. What a column means to a
pipeline does not belong here.
"""

import codecs
import gzip
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import duckdb

from contrail.adapters.sample_forms import DATES, FORMS, NULLS, TEXT, Form, given_text
from contrail.config.file_names import compression_of, format_of
from contrail.config.names import literal, quoted
from contrail.config.table_spec import ColumnSpec, ColumnType
from contrail.errors import DataError
from contrail.faults import is_fault
from contrail.methods.casting import cast_list, cast_sql

# Share of a column's values that must have a form. The others go to quarantine.
_ENOUGH = 0.98
_LOOKED_AT = 4_000  # rows in which a form is looked for; all rows are then read in it
_MOST_VALUES = 20
_CHUNK = 1 << 20
_VALUE, _DATE = re.compile(r"[\d.,:/ -]*\d[\d.,:/ -]*"), re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}")


@dataclass(frozen=True)
class SampleColumn:
    """A column of a sample: its values in figures, and how to read them.

    Attributes:
        name: Its name in the pipeline.
        given: Its name in the file.
        type: The type in which ``validate`` keeps its values.
        form: How they are written, in words.
        sql: Its landed text, from the texts of the file.
        local: Whether it is a time without a zone.
        doubt: Another form that fits as well, in words.
        empty: Rows without a value, or with one of another form.
        distinct: Number of different values.
        least: Its smallest value, typed.
        most: Its largest value, typed.
        values: Its values by frequency, if there are 20 or fewer.
        decimals: Digits after the decimal mark.
    """

    name: str
    given: str
    type: ColumnType
    form: str
    sql: str
    local: bool
    doubt: str
    empty: int
    distinct: int
    least: Any
    most: Any
    values: tuple[str, ...]
    decimals: int


@dataclass(frozen=True)
class Sample:
    """A table of a sample. Its typed rows are the relation ``relation`` of the session.

    Attributes:
        name: Name of the table.
        relation: Name of the relation.
        files: The files, of one header.
        reader: SQL that reads all their values as text from the files in the variable ``files``.
        dialect: How the files are written, in words.
        landed: The keys of ``landed`` in a spec with which such files can land as they are.
        rows: Number of rows.
        columns: The columns in the order of the file.
    """

    name: str
    relation: str
    files: tuple[Path, ...]
    reader: str
    dialect: str
    landed: Mapping[str, str]
    rows: int
    columns: tuple[SampleColumn, ...]

    def column(self, name: str) -> SampleColumn:
        """The column of a name."""
        return next(column for column in self.columns if column.name == name)


class Header(NamedTuple):
    """What the beginning of a file tells: its reader, its dialect in words and as a spec has it, and its columns."""

    reader: str
    dialect: str
    landed: Mapping[str, str]
    names: tuple[str, ...]


def header_of(connection: duckdb.DuckDBPyConnection, path: Path, given: Path) -> Header:
    """Read the beginning of a file.

    Args:
        connection: A session.
        path: The copy of the file.
        given: The file, for messages.

    Raises:
        DataError: The file is no CSV or Parquet, or has no header.
    """
    kind = format_of(path.name.lower())
    if _is_blank(path):
        raise DataError(f"{given}: the file is empty")
    try:
        if kind == "parquet":
            reader, dialect = "(SELECT COLUMNS(*)::VARCHAR FROM read_parquet(getvariable('files')))", "Parquet"
            landed = {"files": "{date}.parquet"}
        elif kind == "csv" or path.suffix.lower() in (".txt", ".tsv"):
            reader, dialect, landed = _csv_reader(connection, path)
        else:
            raise DataError(
                f"{given}: a sample is CSV or Parquet; name it .csv, .csv.gz or .parquet, and write JSON as Parquet first"
            )
        connection.execute("SET VARIABLE files = ?", [[str(path)]])
        names = tuple(connection.sql(f"FROM {reader} LIMIT 0").columns)
    except duckdb.Error as error:
        raise DataError(f"{given}: it cannot be read as {kind or 'csv'}: {_first_line(error, path)}") from error
    if kind != "parquet" and (all(map(_VALUE.fullmatch, names)) or any(map(_DATE.search, names))):
        raise DataError(f"{given}: its first line ({', '.join(names)}) has values. Give each column a name there")
    return Header(reader, dialect, landed, names)


def _is_blank(path: Path) -> bool:
    """Whether the file has nothing but blanks. DuckDB would speak of its header."""
    with path.open("rb") as file:
        return not file.read(1 << 16).strip()


def _csv_reader(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, str, dict[str, str]]:
    """SQL that reads the file, and its dialect in words and as a spec has it."""
    ((delimiter, quote, skipped),) = connection.sql(
        f"SELECT Delimiter, Quote, SkipRows FROM sniff_csv({literal(str(path))}, all_varchar = true, header = true)"
    ).fetchall()
    quote = '"' if quote in ("(empty)", "") else quote
    options = [f"delim = {literal(delimiter)}", f"quote = {literal(quote)}", f"escape = {literal(quote)}"]
    options += ["header = true", "all_varchar = true", *([f"skip = {skipped}"] if skipped else [])]
    shown = {"\t": "tabs", " ": "blanks"}.get(delimiter, f"'{delimiter}'")
    landed = {**({"delimiter": delimiter} if delimiter != "," else {}), **({"quote": quote} if quote != '"' else {})}
    return f"read_csv(getvariable('files'), {', '.join(options)})", f"CSV with {shown} between fields", landed


def read(
    connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path], header: Header, names: Sequence[str]
) -> Sample:
    """Read files of one header, and find out what their columns hold.

    Args:
        connection: A session whose variable ``zone`` has the zone of times without one.
        name: Name of the table.
        files: The files.
        header: That of the first file.
        names: The columns' names in the pipeline, in the order of the header.

    Raises:
        DataError: A file cannot be read, or has no rows.
    """
    raw, relation = quoted(f"text_{name}"), quoted(f"sample_{name}")
    connection.execute("SET VARIABLE files = ?", [[str(path) for path in files]])
    try:
        connection.execute(f"CREATE TABLE {raw} AS FROM {header.reader}")
    except duckdb.Error as error:
        raise DataError(f"{_listed(files)}: {_first_line(error, *files)}") from error
    ((rows,),) = connection.sql(f"SELECT count(*) FROM {raw}").fetchall()
    if not rows:
        raise DataError(f"{_listed(files)}: there are no rows")
    forms = _forms(connection, raw, header.names, rows)
    types = {name: ColumnSpec(type=one.form.type) for name, one in zip(names, forms, strict=True)}
    texts = [f"{one.sql} AS {quoted(name)}" for name, one in zip(names, forms, strict=True)]
    connection.execute(
        f"CREATE OR REPLACE TABLE {relation} AS SELECT {cast_list(types)} FROM (SELECT {', '.join(texts)} FROM {raw})"
    )
    columns = [
        _column(connection, (raw, relation), name, given, one)
        for name, given, one in zip(names, header.names, forms, strict=True)
    ]
    connection.execute(f"DROP TABLE {raw}")
    landed = {**header.landed, **({"decimal": ","} if any(one.form.comma for one in forms) else {})}
    return Sample(name, relation, tuple(files), header.reader, header.dialect, landed, rows, tuple(columns))


# ---- the form of each column ----


class _Found(NamedTuple):
    form: Form
    sql: str
    doubt: str


def _forms(connection: duckdb.DuckDBPyConnection, raw: str, names: Sequence[str], rows: int) -> list[_Found]:
    """The form of each column. Where one has a decimal comma, a point parts the thousands in the others."""
    every = max(1, rows // _LOOKED_AT)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE looked_at AS FROM {raw} WHERE rowid % {every} = 0")
    fitting = [_fitting(connection, name) for name in names]
    comma = any(found and found[0].comma for found, _ in fitting)
    forms = []
    for name, (found, nulls) in zip(names, fitting, strict=True):
        form = found[0] if found else TEXT
        if comma and form.number:
            form = next((one for one in found if one.comma), form)
        twin = next((one for one in found if form in DATES and one in DATES and one is not form), None)
        sql = form.sql.replace("{}", given_text(name, form, nulls))
        forms.append(_Found(form, sql, twin.words if twin else ""))
    return forms


def _fitting(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[list[Form], tuple[str, ...]]:
    """The forms that a column's values have, the strictest first, and its words for no value."""
    own, known = quoted(name), ", ".join(map(literal, NULLS))
    query = f"SELECT DISTINCT trim({own}) FROM looked_at WHERE trim({own}) IN ({known}) ORDER BY 1"
    nulls = tuple(word for (word,) in connection.sql(query).fetchall())
    texts = ", ".join(f"{form.fitting(given_text(name, form, nulls))} AS f{n}" for n, form in enumerate(FORMS))
    counts = ", ".join(f"count({cast_sql(f'f{n}', form.type)})" for n, form in enumerate(FORMS))
    given = f"count({own}) FILTER (trim({own}) NOT IN ({known}))"
    (found,) = connection.sql(f"SELECT {given}, {counts} FROM (SELECT {own}, {texts} FROM looked_at)").fetchall()
    values, fits = found[0], found[1:]
    typed = [form for form, n in zip(FORMS, fits, strict=True) if values and n >= _ENOUGH * values and form is not TEXT]
    return typed, nulls if typed else ()


# ---- its values ----


def _column(
    connection: duckdb.DuckDBPyConnection, relations: tuple[str, str], name: str, given: str, found: _Found
) -> SampleColumn:
    raw, relation = relations
    own, form = quoted(name), found.form
    ((count, distinct, least, most),) = connection.sql(
        f"SELECT count(*) - count({own}), count(DISTINCT {own}), min({own}), max({own}) FROM {relation}"
    ).fetchall()
    values: tuple[str, ...] = ()
    if 0 < distinct <= _MOST_VALUES:
        query = f"SELECT {own}::VARCHAR FROM {relation} WHERE {own} IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1"
        values = tuple(value for (value,) in connection.sql(query).fetchall())
    decimals = 0
    if form.type == "float":
        text = f"SELECT {found.sql} AS t FROM {raw}"
        digits = r"length(regexp_extract(t, '\.(\d*?)0*$', 1))"
        ((decimals,),) = connection.sql(f"SELECT coalesce(max({digits}), 0) FROM ({text})").fetchall()
    return SampleColumn(
        name=name,
        given=given,
        type=form.type,
        form=form.words,
        sql=found.sql,
        local=form.local,
        doubt=found.doubt,
        empty=count,
        distinct=distinct,
        least=least,
        most=most,
        values=values,
        decimals=decimals,
    )


def _first_line(error: Exception, *copies: Path) -> str:
    text = " ".join(str(error).strip().split("\n")[:2])
    for copy in copies:
        text = text.replace(str(copy), copy.name)
    return text


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(path.name for path in files)


# ---- copies that DuckDB reads ----


def encoding_of(path: Path) -> str:
    """The encoding of a CSV file: UTF-8 where all bytes are, else UTF-16 by its mark, else Windows' of the West."""
    with _opened(path) as stream:
        start = stream.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        for encoding in ("utf-8-sig", "cp1252"):
            stream.seek(0)
            try:
                for _ in codecs.iterdecode(_chunks(stream), encoding):
                    pass
            except UnicodeDecodeError:
                continue
            return encoding
    return "latin-1"


def copy_as_utf8(path: Path, folder: Path) -> tuple[Path, str]:
    """Copy a sample into a folder, CSV as UTF-8 without a mark. Returns the copy, and the encoding of the file.

    Raises:
        DataError: There is no such file, it cannot be read, it is no whole gzip, or the folder has a file of its name.
    """
    try:
        if not path.is_file():
            raise DataError(f"{path}: there is no such file")
        as_it_is = format_of(path.name.lower()) == "parquet" or compression_of(path.name) == "zst"
        target = folder / (path.name if as_it_is else path.name.removesuffix(".gz"))
        if target.exists():
            raise DataError(f"{path}: another sample has this file name; give each a name of its own")
        if as_it_is:
            shutil.copyfile(path, target)
            return target, ""
        encoding = encoding_of(path)
        with _opened(path) as stream, target.open("w", encoding="utf-8", newline="") as text:
            for part in codecs.iterdecode(_chunks(stream), encoding):
                text.write(part)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: it is no whole gzip file ({error})") from error
    except OSError as error:
        if is_fault(error):
            raise
        raise DataError(f"{path}: {error.strerror}") from error
    return target, encoding.removesuffix("-sig")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        stream: Any = gzip.GzipFile(fileobj=file) if compression_of(path.name) == "gz" else file
        yield stream


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk

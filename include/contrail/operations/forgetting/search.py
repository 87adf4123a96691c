"""The search for a person's rows: from the values that were asked for to every key, and every text, of the person.

A row of the entities that is found gives its key, and so do rows of reference tables. Rows of other tables that have
such a key are the person's too. The personal values of all these rows are the texts that reports may quote.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from typing import IO, TYPE_CHECKING

import pyarrow as pa
from upath import UPath

from contrail.adapters.landed_erasure import Erased, without
from contrail.adapters.landed_rows import digest_of
from contrail.config.names import quoted
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.files import digest
from contrail.lake import forgotten, readers
from contrail.lake.erasure import Rule
from contrail.lake.forgotten import Marks
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.lake.sessions import session, spill_folder
from contrail.operations.forgetting import texts
from contrail.operations.forgetting.asked import Asked, types_of

if TYPE_CHECKING:
    import re

_TELLING = 8  # characters; a shorter value, as a town's name, is in details of other rows too
_SIDECARS = (".sha256", ".md5")


@dataclass
class Search:
    """A search in one pipeline. ``marks`` and ``words`` grow while rows are found.

    Attributes:
        pipeline: The pipeline.
        lake: Its tables.
        marks: Say which rows are of forgotten persons.
        words: Columns and values that files for people may quote.
        hashes: The digest of each delivery without its forgotten rows, by what it is now.
        asked_words: Columns and values that were asked for.
        asked_marks: Digests of them.
        grace: What a run under way may be about to use stays while it is younger.
        made_by: Goes into the snapshots that have no such rows any more.
    """

    pipeline: Pipeline
    lake: Lake
    marks: Marks
    grace: timedelta
    made_by: Provenance
    words: set[tuple[str, str]] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)
    asked_words: frozenset[tuple[str, str]] = frozenset()
    asked_marks: frozenset[str] = frozenset()

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline's spec."""
        return self.pipeline.spec

    @property
    def settings(self) -> Settings:
        """The environment."""
        return self.lake.settings

    @cached_property
    def pattern(self) -> "re.Pattern[bytes] | None":
        """The pattern of all words; ask for it when the search is over."""
        return texts.pattern_of(self.words)

    @property
    def rule(self) -> Rule:
        """What goes from a table of the lake."""
        telling = {value for _, value in self.words if len(value) >= _TELLING}
        asked = {value for _, value in self.asked_words if texts.is_long(value)}
        return Rule(self.marks, tuple(sorted(telling | asked)), self.hashes)

    def begin(self, asked: Asked | None) -> None:
        """Follow the rows from what was asked, and from what was forgotten before, to all of their keys."""
        if asked is not None:
            self.asked_words = frozenset(asked.texts)
            self.words |= self.asked_words
            with forgotten.asking() as connection:
                own = forgotten.of_rows(self.marks, connection, asked.query, asked.columns)
            self.asked_marks = frozenset(digest for digests in own.digests.values() for digest in digests)
            self.marks |= own
        known = -1
        while known != (known := sum(map(len, self.marks.digests.values()))):
            for table in self.spec.tables:
                for rows in self._matched(table):
                    self._widen(table, rows)

    def _widen(self, table: str, rows: pa.Table) -> None:
        source, types = self.spec.tables[table], types_of(self.spec)
        self.words |= {
            (name, value)
            for name in source.personal & set(rows.column_names)
            for value in rows[name].unique().to_pylist()
            if value
        }
        key = self.spec.key if table == self.spec.entities else source.key if source.kind == "reference" else ()
        if key and set(key) <= set(rows.column_names):
            with forgotten.asking() as connection:
                connection.register("found", rows)
                self.marks |= forgotten.of_rows(
                    self.marks, connection, "SELECT * FROM found", forgotten.columns_in(types, key)
                )

    def _matched(self, table: str) -> Iterator[pa.Table]:
        """The rows of forgotten persons in a landed table, as texts: in the lake, and in the landing zone."""
        for name in (f"raw_{table}", f"validated_{table}"):
            if self.lake.exists(name):
                yield self._matched_in(name, table)
        digests: dict[object, list[tuple[str, str]]] = {}
        for name, path in landed_files(self, table):
            with path.open("rb") as stream:
                before = digest(stream)
                with self.erased(table, stream, over=False) as erased:
                    rows, after = erased.rows, erased.digest or before
            # Files that make up one delivery, in the order of their names.
            digests.setdefault(self.spec.tables[table].file_names.read(name) or name, []).append((before, after))
            if rows.num_rows:
                yield rows
        for own in digests.values():
            before, after = (digest_of(each, self.spec.tables[table]) for each in zip(*own, strict=True))
            if before != after:
                self.hashes[before] = after

    def _matched_in(self, name: str, table: str) -> pa.Table:
        schema = self.lake.schema(name)
        own = [column for column in self.spec.tables[table].columns if column in schema.names]
        wanted = self.marks.condition(schema)
        if wanted is None:
            return schema.empty_table().select([])
        with session(self.settings) as connection:
            readers.create_view(connection, "landed", schema, self.lake.files(name))
            listed = ", ".join(f"{quoted(column)}::VARCHAR AS {quoted(column)}" for column in own)
            return connection.sql(f"SELECT {listed} FROM landed WHERE {wanted}").to_arrow_table()

    @contextmanager
    def erased(self, table: str, stream: IO[bytes], *, over: bool = True) -> Iterator[Erased]:
        """Open a landed file without rows of forgotten persons.

        Once the search is ``over``, lines of a broken file go too that quote what was asked for. Other words, as a town's
        name, are in rows of others too.
        """
        pattern = texts.pattern_of(self.asked_words) if over else None
        quotes = partial(_quotes, pattern) if pattern else None
        with (
            spill_folder(self.settings) as spill,
            without(stream, self.spec.tables[table], spill, self.marks.mask, quotes) as found,
        ):
            yield found


def _quotes(pattern: "re.Pattern[bytes]", line: bytes) -> bool:
    return any(True for _ in texts.spans(line, pattern))


def landed_files(search: Search, table: str) -> Iterator[tuple[str, UPath]]:
    """Yield every file below a table's landing folder, whatever its name, with the name; no checksums, no links."""
    yield from _files(search.settings.landing / search.pipeline.name / table)


def refused_files(search: Search, table: str) -> Iterator[tuple[str, UPath]]:
    """Yield the copies of a table's refused files."""
    yield from _files(search.settings.refused / search.pipeline.name / table)


def _files(folder: UPath) -> Iterator[tuple[str, UPath]]:
    for path in sorted(folder.rglob("*"), key=str) if folder.exists() else ():
        if path.is_file() and not path.is_symlink() and not path.name.endswith(_SIDECARS):
            yield str(path)[len(str(folder)) :].lstrip("/"), path

"""Parquet files that differ in their types, their pages or their footers from those that a good writer makes."""

import io
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from tests.corpus.flights import COLUMNS
from tests.corpus.forms import arrow_of, parquet_of
from tests.corpus.kind import HARMLESS, PARQUET, Place, packed, place


def table(name: str, expected: str, *, dear: bool = False, **options: Any) -> Callable[..., None]:
    """Register a kind by a function from the good table to another one."""

    def register(change: Callable[[pa.Table], pa.Table]) -> None:
        def make(at: Place) -> None:
            at.land(parquet_of(change(arrow_of(at.good_rows(), [*COLUMNS])), **options))

        place(name, PARQUET, expected, dear=dear)(make)

    return register


def _put(column: str, change: Callable[[pa.ChunkedArray], Any]) -> Callable[[pa.Table], pa.Table]:
    """A table with another column in the place of one."""

    def changed(given: pa.Table) -> pa.Table:
        at = given.schema.get_field_index(column)
        return given.set_column(at, column, change(given[column]))

    return changed


def _cast(column: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    return _put(column, lambda own: own.cast(kind, safe=False))


def _same(given: pa.Table) -> pa.Table:
    return given


# ---- types ----

table("texts by a dictionary", HARMLESS)(_put("origin", lambda own: own.dictionary_encode()))
table("numbers by a dictionary", HARMLESS)(_put("flight", lambda own: own.dictionary_encode()))
table("large texts", HARMLESS)(_cast("origin", pa.large_string()))
table("views of texts", HARMLESS)(_cast("origin", pa.string_view()))
table("texts as bytes", "refused wrong_type")(_cast("origin", pa.binary()))
table("bytes of a fixed width", "refused wrong_type")(
    _put("origin", lambda own: pa.array([b"abc"] * len(own), pa.binary(3)))
)
table("numbers as decimals of 128 bits", HARMLESS)(_cast("distance", pa.decimal128(12, 3)))
table("numbers as decimals of 256 bits", HARMLESS)(_cast("distance", pa.decimal256(70, 3)))
table("numbers as floats of 32 bits", HARMLESS)(_cast("distance", pa.float32()))
table("whole numbers as floats of 16 bits", HARMLESS)(
    _put("minutes", lambda own: own.cast(pa.float32()).cast(pa.float16()))
)
table("numbers as texts", HARMLESS)(_cast("distance", pa.string()))
table("whole numbers of 16 bits", HARMLESS)(_cast("flight", pa.int16()))
table("whole numbers without a sign", HARMLESS)(_cast("flight", pa.uint64()))
table("whole numbers that wrap around", "refused bad_share")(_cast("flight", pa.int8()))
table("whole numbers as floats", HARMLESS)(_cast("flight", pa.float64()))
table("truths as numbers", HARMLESS)(_cast("far", pa.int64()))
table("truths as floats", HARMLESS)(_put("far", lambda own: own.cast(pa.int64()).cast(pa.float64())))
table("instants in seconds", HARMLESS)(_cast("departs_at", pa.timestamp("s", "UTC")))
table("instants in milliseconds", HARMLESS)(_cast("departs_at", pa.timestamp("ms", "UTC")))
table("instants in nanoseconds", HARMLESS)(_cast("departs_at", pa.timestamp("ns", "UTC")))
table("instants in another zone", HARMLESS)(_cast("departs_at", pa.timestamp("us", "Asia/Kathmandu")))
table("instants in no zone", "refused bad_share")(_put("departs_at", lambda own: pc.local_timestamp(own)))
table("instants of 96 bits", "refused bad_share", use_deprecated_int96_timestamps=True)(_same)
table("instants with a nanosecond more", "quarantined type:departs_at")(
    _put("departs_at", lambda own: _one_more(own.cast(pa.timestamp("ns", "UTC")).cast(pa.int64())))
)
table("instants beyond what nanoseconds hold", "refused bad_share")(
    _put("departs_at", lambda own: pa.array([2**62] * len(own), pa.timestamp("us", "UTC")))
)
table("instants as whole numbers", "refused bad_share")(_cast("departs_at", pa.int64()))
table("instants as dates", "refused bad_share")(_cast("departs_at", pa.date32()))
table("dates as instants", "refused bad_share")(_cast("flight_date", pa.timestamp("us")))
table("dates of 64 bits", HARMLESS)(_cast("flight_date", pa.date64()))
table("dates as texts", HARMLESS)(_cast("flight_date", pa.string()))
table("times of a day", "refused bad_share")(
    _put("departs_at", lambda own: pa.array([1_000] * len(own), pa.time64("us")))
)
table("lengths of time", "refused wrong_type")(
    _put("departs_at", lambda own: pa.array([5] * len(own), pa.duration("us")))
)
table("a column without a type", "refused unusual")(_put("dest", lambda own: pa.nulls(len(own))))
table("lists", "refused wrong_type")(_put("origin", lambda own: pa.array([["a"]] * len(own))))
table("structures", "refused wrong_type")(_put("origin", lambda own: pa.array([{"a": 1}] * len(own))))
table("maps", "refused wrong_type")(
    _put("origin", lambda own: pa.array([[("a", 1)]] * len(own), pa.map_(pa.string(), pa.int64())))
)
table("structures two hundred deep", "refused damaged_parquet")(_put("origin", lambda own: _deep(len(own), 200)))
table("texts that are not UTF-8", "refused not_utf8")(
    _put(
        "origin",
        lambda own: pa.Array.from_buffers(pa.string(), len(own), pa.array([b"\xff\xfe\xfd"] * len(own)).buffers()),
    )
)


def _one_more(own: pa.ChunkedArray) -> pa.ChunkedArray:
    more = pa.array([1 if n == 6 else 0 for n in range(len(own))], pa.int64())
    return pc.add(own, more).cast(pa.timestamp("ns", "UTC"))


def _deep(count: int, levels: int) -> pa.Array:
    own: pa.Array = pa.array([1] * count)
    for _ in range(levels):
        own = pa.StructArray.from_arrays([own], ["a"])
    return own


# ---- schemas ----

table("a column twice", "refused repeated_column")(lambda own: own.append_column("origin", own["origin"]))
table("two columns that differ in case", "refused extra_column")(lambda own: own.append_column("ORIGIN", own["origin"]))
table("ten thousand columns of Parquet", "refused extra_column", dear=True)(
    lambda own: pa.table({**dict(zip(own.column_names, own.columns, strict=True)), **_many(own.num_rows)})
)
table("no columns", "refused missing_column")(lambda own: own.select([]))
table("no rows", "refused no_rows")(lambda own: own.slice(0, 0))
table("no row groups", "refused no_rows")(lambda own: own.schema.empty_table())
table("a schema that says what is not so", "refused")(
    lambda own: own.replace_schema_metadata({b"ARROW:schema": b"bm90IGEgc2NoZW1h"})
)
table("ten megabytes of metadata", HARMLESS)(lambda own: own.replace_schema_metadata({b"x": b"y" * 10_000_000}))
table("a list of left out rows that is none", "refused damaged_parquet")(
    lambda own: own.replace_schema_metadata({b"contrail.left_out": b'"all"'})
)
table("a name with codes of the terminal", "refused missing_column")(
    lambda own: own.rename_columns(["\x1b[2J" if name == "origin" else name for name in own.column_names])
)


def _many(count: int) -> dict[str, pa.Array]:
    one = pa.nulls(count, pa.int64())
    return {f"x{n}": one for n in range(10_000)}


# ---- how it is written: all of these are good Parquet ----

for _codec in ("none", "gzip", "brotli", "zstd", "lz4"):
    table(f"packed by {_codec}", HARMLESS, compression=_codec)(_same)
table("a row group for each row", HARMLESS, row_group_size=1)(_same)
table("pages of the second version", HARMLESS, data_page_version="2.0")(_same)
table("format 1.0", HARMLESS, version="1.0")(_same)
table("no dictionaries and no statistics", HARMLESS, use_dictionary=False, write_statistics=False)(_same)
table("checksums of pages", HARMLESS, write_page_checksum=True)(_same)


# ---- damage ----


def _footer(good: bytes) -> int:
    """Where the footer begins."""
    return len(good) - 8 - int(struct.unpack("<I", good[-8:-4])[0])


def _flipped(good: bytes, at: int) -> bytes:
    return good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]


packed("a byte of the footer flipped", PARQUET, "refused damaged_parquet")(lambda good: _flipped(good, _footer(good)))
packed("a byte in the middle of the footer flipped", PARQUET, "refused")(
    lambda good: _flipped(good, (_footer(good) + len(good)) // 2)
)
packed("a byte of the first page's header flipped", PARQUET, "refused damaged_parquet")(lambda good: _flipped(good, 4))


@place("a value changed on a page with a checksum", PARQUET, "refused damaged_parquet")
def _(at: Place) -> None:
    given = arrow_of(at.good_rows(), [*COLUMNS])
    good = parquet_of(given, write_page_checksum=True, use_dictionary=False, compression="none")
    place_ = good.rindex(b"EWR", 0, _footer(good))
    at.land(good[:place_] + b"LGA" + good[place_ + 3 :])


packed("a footer of no length", PARQUET, "refused damaged_parquet")(lambda good: good[:-8] + bytes(4) + good[-4:])
packed("a footer of four gigabytes", PARQUET, "refused damaged_parquet")(
    lambda good: good[:-8] + b"\xff" * 4 + good[-4:]
)
packed("a footer longer than the file", PARQUET, "refused damaged_parquet")(
    lambda good: good[:-8] + struct.pack("<I", len(good)) + good[-4:]
)
packed("the footer of an encrypted file", PARQUET, "refused truncated_parquet")(lambda good: good[:-4] + b"PARE")
packed("only marks", PARQUET, "refused damaged_parquet")(lambda _: b"PAR1PAR1")
packed("only a mark", PARQUET, "refused damaged_parquet")(lambda _: b"PAR1")
packed("no pages", PARQUET, "refused damaged_parquet")(lambda good: good[:4] + good[_footer(good) :])
packed("zeros for pages", PARQUET, "refused damaged_parquet")(
    lambda good: good[:4] + bytes(_footer(good) - 4) + good[_footer(good) :]
)
packed("a gap before the footer", PARQUET, HARMLESS)(
    lambda good: good[: _footer(good)] + bytes(100) + good[_footer(good) :]
)


@place("the footer of another day", PARQUET, "refused damaged_parquet")
def _(at: Place) -> None:
    own, other = at.good(), at.good(-3)
    at.land(own[: _footer(own)] + other[_footer(other) :])


def _lying(good: bytes, told: int) -> bytes:
    """The file with another number of rows in its footer. Thrift writes it as a zigzag varint."""
    rows = pq.read_metadata(io.BytesIO(good)).num_rows
    old, new = _varint(rows), _varint(told)
    begin = _footer(good)
    footer = good[begin:-8].replace(old, new, 1)
    return good[:begin] + footer + struct.pack("<I", len(footer)) + good[-4:]


def _varint(number: int) -> bytes:
    left, out = number << 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


packed("fewer rows in the footer", PARQUET, "refused damaged_parquet")(lambda good: _lying(good, 100))
packed("more rows in the footer", PARQUET, "refused damaged_parquet")(lambda good: _lying(good, 130))
packed("four billion rows in the footer", PARQUET, "refused damaged_parquet")(lambda good: _lying(good, 2**32))
packed("a negative number of rows in the footer", PARQUET, "refused")(lambda good: _lying_negative(good))


def _lying_negative(good: bytes) -> bytes:
    rows = pq.read_metadata(io.BytesIO(good)).num_rows
    old = _varint(rows)
    begin = _footer(good)
    return good[:begin] + good[begin:-8].replace(old, bytes([old[0] | 1, *old[1:]]), 1) + good[-8:]


@place("statistics that lie", PARQUET, HARMLESS)
def _(at: Place) -> None:
    good = at.good()
    begin = _footer(good)
    # The least and the largest code of an airport, which readers of a part of the rows would trust.
    at.land(good[:begin] + good[begin:].replace(b"EWR", b"LGA", 2))


@place("encrypted columns", PARQUET, "refused damaged_parquet")
def _(at: Place) -> None:
    at.land(_encrypted(at, plaintext_footer=True))


@place("an encrypted footer", PARQUET, "refused")
def _(at: Place) -> None:
    at.land(_encrypted(at, plaintext_footer=False))


class _Keys(pe.KmsClient):  # type: ignore[misc]
    """Wraps keys by nothing, for tests."""

    def wrap_key(self, key_bytes: bytes, _: str) -> bytes:
        return key_bytes.hex().encode()

    def unwrap_key(self, wrapped_key: bytes, _: str) -> bytes:
        return bytes.fromhex(wrapped_key.decode())


def _encrypted(at: Place, *, plaintext_footer: bool) -> bytes:
    given = arrow_of(at.good_rows(), [*COLUMNS])
    config = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["distance"]}, plaintext_footer=plaintext_footer, cache_lifetime=None
    )
    factory = pe.CryptoFactory(lambda _: _Keys())
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    out = io.BytesIO()
    with pq.ParquetWriter(out, given.schema, encryption_properties=properties) as writer:
        writer.write_table(given)
    return out.getvalue()


# ---- bombs ----


@place("a bomb of one long text", PARQUET, "refused", dear=True)
def _(at: Place) -> None:
    given = arrow_of(at.good_rows(), [*COLUMNS])
    place_ = given.schema.get_field_index("dest")
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000_000, pa.int32()), pa.array(["x" * 3_000]))
    rows = given.take(pa.array([0] * 2_000_000))
    at.land(parquet_of(rows.set_column(place_, "dest", long)))


@place("a bomb of rows without values", PARQUET, "refused", dear=True)
def _(at: Place) -> None:
    given = arrow_of(at.good_rows(), [*COLUMNS])
    nothing = pa.table({name: pa.nulls(5_000_000, given.schema.field(name).type) for name in given.column_names})
    at.land(parquet_of(nothing))


@place("a page of a gigabyte", PARQUET, "refused", dear=True)
def _(at: Place) -> None:
    given = arrow_of(at.good_rows(), [*COLUMNS])
    row = given.schema.get_field_index("dest")
    texts = pa.array(["x" * (60_000_000 if n == 5 else 3) for n in range(given.num_rows)])
    at.land(parquet_of(given.set_column(row, "dest", texts), compression="zstd", use_dictionary=False))

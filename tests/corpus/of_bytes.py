"""Damaged files: cut, flipped, packed wrongly, or of another format. Applied to the bytes of a good file."""

import gzip
import io
import os
import zlib

import zstandard

from tests.corpus.kind import ALL, GZ, HARMLESS, PACKED, PLAIN, TEXT, ZST, Place, packed, place

_ENDS_EARLY = {"csv.gz": "refused truncated_gzip", "csv.zst": "refused truncated_zstd", "jsonl.gz": "refused truncated_gzip",
               "jsonl.zst": "refused truncated_zstd", "parquet": "refused truncated_parquet"}  # fmt: skip


def _flip(content: bytes, at: int) -> bytes:
    """The bytes with all bits of one flipped."""
    place = at if at >= 0 else len(content) + at
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


packed("empty", ALL, "refused empty_file")(lambda _: b"")
packed("one byte", ALL, {"csv": "refused missing_column", "csv.gz": "refused not_gzip", "csv.zst": "refused not_zstd",
                         "jsonl": "refused not_json", "jsonl.gz": "refused not_gzip", "jsonl.zst": "refused not_zstd",
                         "parquet": "refused not_parquet"})(lambda _: b"x")  # fmt: skip
packed("zeros", ALL, {"csv": "refused missing_column", "csv.gz": "refused not_gzip", "csv.zst": "refused not_zstd",
                      "jsonl": "refused not_json", "jsonl.gz": "refused not_gzip", "jsonl.zst": "refused not_zstd",
                      "parquet": "refused not_parquet"})(lambda good: bytes(len(good)))  # fmt: skip
packed("random bytes", ALL, {"csv": "refused not_utf8", "csv.gz": "refused not_gzip", "csv.zst": "refused not_zstd",
                             "jsonl": "refused not_utf8", "jsonl.gz": "refused not_gzip", "jsonl.zst": "refused not_zstd",
                             "parquet": "refused not_parquet"})(lambda good: _noise(len(good)))  # fmt: skip
packed("cut in the header", ALL, _ENDS_EARLY | {"csv": "refused missing_column", "jsonl": "refused not_json"})(
    lambda good: good[:19]
)
packed("cut in the middle", (*PACKED, "parquet"), _ENDS_EARLY)(lambda good: good[: len(good) // 2])
packed("cut in the middle of a row", PLAIN, {"csv": "refused ragged_row", "jsonl": "refused not_json"})(
    lambda good: good[: good.index(b"\n", len(good) // 2) + 12]
)
packed("cut at the end of a row", PLAIN, "refused unusual")(
    lambda good: good[: good.rindex(b"\n", 0, len(good) * 2 // 3) + 1]
)
packed("cut by one byte", ALL, _ENDS_EARLY | {"csv": HARMLESS, "jsonl": HARMLESS})(lambda good: good[:-1])
packed("cut by eight bytes", ALL, _ENDS_EARLY | {"csv": "quarantined type:published_at", "jsonl": "refused not_json"})(
    lambda good: good[:-8]
)
packed("the first byte flipped", ALL, {"csv": "refused not_utf8", "csv.gz": "refused not_gzip", "csv.zst": "refused not_zstd",
                                       "jsonl": "refused not_utf8", "jsonl.gz": "refused not_gzip",
                                       "jsonl.zst": "refused not_zstd", "parquet": "refused not_parquet"})(
    lambda good: _flip(good, 0)
)  # fmt: skip
packed("a byte in the middle flipped", TEXT, "refused")(lambda good: _flip(good, len(good) // 2))
packed("the last byte flipped", ALL, {"csv": "refused not_utf8", "csv.gz": "refused", "csv.zst": "refused",
                                      "jsonl": "refused not_utf8", "jsonl.gz": "refused", "jsonl.zst": "refused",
                                      "parquet": "refused truncated_parquet"})(lambda good: _flip(good, -1))  # fmt: skip
# In plain text a row or two are bad, by the place.
packed("a block of zeros within", tuple(form for form in ALL if form != "csv"), "refused")(
    lambda good: good[: len(good) // 2] + bytes(512) + good[len(good) // 2 + 512 :]
)
packed("two blocks swapped", ALL, "refused")(lambda good: good[:300] + good[900:1500] + good[300:900] + good[1500:])
packed("doubled", ALL, {"csv": "refused bad_share", "csv.gz": "refused bad_share", "csv.zst": "refused bad_share",
                        "jsonl": "refused bad_share", "parquet": HARMLESS})(lambda good: good + good)  # fmt: skip
packed("a page of HTML", ALL, {"csv": "refused missing_column", "csv.gz": "refused not_gzip", "csv.zst": "refused not_zstd",
                               "jsonl": "refused not_json", "jsonl.gz": "refused not_gzip", "jsonl.zst": "refused not_zstd",
                               "parquet": "refused not_parquet"})(
    lambda _: b"<!DOCTYPE html>\n<html><body><h1>503 Service Unavailable</h1></body></html>\n"
)  # fmt: skip
packed("a pointer of Git LFS", ALL, {"csv": "refused missing_column", "csv.gz": "refused not_gzip",
                                     "csv.zst": "refused not_zstd", "jsonl": "refused not_json",
                                     "jsonl.gz": "refused not_gzip", "jsonl.zst": "refused not_zstd",
                                     "parquet": "refused not_parquet"})(
    lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
)  # fmt: skip


def _noise(size: int) -> bytes:
    noise = bytes(range(128, 256)) * (size // 128 + 1)
    return noise[:size]


# ---- how it is packed ----


@place("not packed", PACKED, {"csv.gz": "refused not_gzip", "jsonl.gz": "refused not_gzip", "": "refused not_zstd"})
def _(at: Place) -> None:
    at.land(at.text())


@place("packed, though its name says plain", PLAIN, "refused not_utf8")
def _(at: Place) -> None:
    at.land(gzip.compress(at.text(), mtime=0))


@place("packed by zstd, though its name says gzip", GZ, "refused not_gzip")
def _(at: Place) -> None:
    at.land(zstandard.compress(at.text()))


@place("packed by gzip, though its name says zstd", ZST, "refused not_zstd")
def _(at: Place) -> None:
    at.land(gzip.compress(at.text(), mtime=0))


@place("packed twice", PACKED, {"csv": "refused not_utf8", "jsonl": "refused not_utf8"})
def _(at: Place) -> None:
    from tests.corpus.forms import pack

    at.land_text(pack(at.text(), at.form.packing))


@place("a raw deflate stream", GZ, "refused not_gzip")
def _(at: Place) -> None:
    at.land(zlib.compress(at.text()))


packed("rubbish at the end", (*GZ, *ZST), {"csv.gz": "refused damaged_gzip", "jsonl.gz": "refused damaged_gzip",
                                           "": "refused damaged_zstd"})(lambda good: good + b"rubbish")  # fmt: skip
packed("zeros at the end", GZ, HARMLESS)(lambda good: good + bytes(512))
packed("zeros and rubbish at the end", GZ, "refused damaged_gzip")(lambda good: good + bytes(512) + b"rubbish")
packed("a wrong checksum", GZ, "refused damaged_gzip")(lambda good: _flip(good, -8))
packed("a wrong length", GZ, "refused damaged_gzip")(lambda good: _flip(good, -4))


@place("several members", PACKED, HARMLESS)
def _(at: Place) -> None:
    from tests.corpus.forms import pack

    whole = at.text()
    at.land(b"".join(pack(whole[low : low + 1_000], at.form.packing) for low in range(0, len(whole), 1_000)))


@place("the last of several members is cut", GZ, "refused truncated_gzip")
def _(at: Place) -> None:
    whole = at.text()
    at.land((gzip.compress(whole[:3_000]) + gzip.compress(whole[3_000:]))[:-5])


@place("one of several members is missing", GZ, {"csv": "refused ragged_row", "jsonl": "refused not_json"})
def _(at: Place) -> None:
    whole = at.text()
    at.land(gzip.compress(whole[:3_000]) + gzip.compress(whole[6_000:]))


@place("an empty member", GZ, "refused empty_file")
def _(at: Place) -> None:
    at.land(gzip.compress(b""))


@place("a member with a name, a comment and a time", GZ, HARMLESS)
def _(at: Place) -> None:
    out = io.BytesIO()
    with gzip.GzipFile("../../etc/passwd", "wb", fileobj=out, mtime=2**31) as stream:
        stream.write(at.text())
    at.land(out.getvalue())


# ---- bombs ----


def _bomb(at: Place, line: bytes) -> None:
    """A hundred times the largest text that is allowed, in a few hundred kilobytes."""
    if at.form.packing == "gz":
        one = gzip.compress(line * (4_000_000 // len(line)), 9)
        at.land(gzip.compress(at.text()) + one * 400)
    else:
        one = zstandard.compress(line * (4_000_000 // len(line)), 19)
        at.land(zstandard.compress(at.text()) + one * 400)


@place("a bomb of zeros", PACKED, "refused row_too_long", dear=True)
def _(at: Place) -> None:
    _bomb(at, bytes(1_000))


@place("a bomb of line ends", PACKED, "refused too_large", dear=True)
def _(at: Place) -> None:
    _bomb(at, b"\n" * 1_000)


@place("a bomb of rows", PACKED, "refused", dear=True)
def _(at: Place) -> None:
    _bomb(at, b"\n".join(at.text().split(b"\n")[1:4]) + b"\n")


@place("a window of zstd that is too large", ZST, "refused", dear=True)
def _(at: Place) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=30)
    out = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False) as stream:
        stream.write(at.text())
    at.land(out.getvalue())


@place("a dictionary of zstd that nobody has", ZST, "refused damaged_zstd")
def _(at: Place) -> None:
    samples = [line for line in at.text().splitlines() if line] * 20
    words = zstandard.train_dictionary(2_048, samples)
    at.land(zstandard.ZstdCompressor(dict_data=words).compress(at.text()))


@place("a file of ten million bytes in one line", TEXT, "refused row_too_long", dear=True)
def _(at: Place) -> None:
    at.land_text(at.text() + b"x" * 10_000_000)


@place("a file with holes, larger than the limit", ALL, "refused too_large")
def _(at: Place) -> None:
    path = at.land(at.good())
    os.truncate(path, 40 << 20)

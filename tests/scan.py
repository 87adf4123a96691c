"""A scan of every byte of a folder for a text, also where bytes are compressed or encoded."""

import base64
import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def holding(folder: Path, text: str) -> list[str]:
    """List the files below a folder that hold a text, with how it is found."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            for form, content in contents(path.read_bytes(), path):
                if text.lower().encode() in content.lower():
                    found.append(f"{path.relative_to(folder)} ({form})")
        if text in path.name:
            found.append(f"{path.relative_to(folder)} (name)")
    return found


def contents(content: bytes, path: Path | None = None, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield the content of a file as it is, and as each reader unpacks it."""
    yield "bytes", content
    for form, inside in _unpacked(content, path):
        if depth < 3:
            yield from ((f"{form}, {below}", each) for below, each in contents(inside, None, depth + 1))


def _unpacked(content: bytes, path: Path | None) -> list[tuple[str, bytes]]:
    kinds: list[tuple[bytes, str, Callable[[bytes], bytes]]] = [
        (b"\x1f\x8b", "gzip", _inflated),
        (b"PAR1", "parquet", _parquet),
        (b"Obj\x01", "avro", lambda found: b"".join(_avro(found))),
        (b"PK\x03\x04", "zip", _zip),
        (b"\x28\xb5\x2f\xfd", "zstd", lambda found: pa.input_stream(io.BytesIO(found), compression="zstd").read()),
        (b"BZh", "bzip2", bz2.decompress),
        (b"\xfd7zXZ\x00", "xz", lzma.decompress),
    ]
    found = [(name, unpack(content)) for magic, name, unpack in kinds if content.startswith(magic)]
    if content.startswith(b"SQLite format 3\x00") and path is not None:
        found.append(("sqlite", _sqlite(path)))
    if b'"model": "' in content[:200]:  # a checkpoint
        found.append(("base64", base64.b64decode(content.split(b'"model": "')[1].split(b'"')[0])))
    return found


def _zip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return b"\n".join(opened.read(name) for name in opened.namelist())


def _inflated(content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error):
        return zlib.decompressobj(wbits=31).decompress(content)


def _parquet(content: bytes) -> bytes:
    return str(pq.read_table(io.BytesIO(content)).to_pydict()).encode()


def _sqlite(path: Path) -> bytes:
    with sqlite3.connect(path) as opened:
        return "\n".join(opened.iterdump()).encode()


def _avro(content: bytes) -> Iterator[bytes]:
    """The blocks of an Avro container file."""
    stream = io.BytesIO(content)
    stream.read(4)
    codec = b"null"
    while count := _long(stream):
        for _ in range(abs(count)):
            key, value = stream.read(_long(stream)), stream.read(_long(stream))
            yield value
            codec = value if key == b"avro.codec" else codec
    stream.read(16)
    while stream.tell() < len(content):
        _long(stream)
        block = stream.read(_long(stream))
        yield zlib.decompress(block, wbits=-15) if codec == b"deflate" else block
        stream.read(16)


def _long(stream: io.BytesIO) -> int:
    shift = value = 0
    while True:
        byte = stream.read(1)[0]
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1)
        shift += 7

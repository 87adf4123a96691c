"""Text on its way into a landed file: in the file's encoding and compression, as ``unpacking`` reads it.

What the text says does not belong here.
"""

import codecs
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa

from contrail.adapters.unpacking import Borrowed
from contrail.config.file_names import Compression

Write = Callable[[bytes], object]


@contextmanager
def packing(out: IO[bytes], compression: Compression) -> Iterator[Any]:
    """Compress what is written. The same text gives the same bytes at any time."""
    if compression == "gz":
        with gzip.GzipFile("", "wb", 6, out, mtime=0) as packed:
            yield packed
    elif compression == "zst":
        with pa.CompressedOutputStream(pa.PythonFile(Borrowed(out), mode="w"), "zstd") as packed:
            yield packed
            packed.flush()
    else:
        yield out


@contextmanager
def encoded(write: Write, encoding: str) -> Iterator[Write]:
    """Write a text, given in UTF-8, in its own encoding."""
    if codecs.lookup(encoding).name == "utf-8":
        yield write
        return
    decoder, encoder = codecs.getincrementaldecoder("utf-8")(), codecs.getincrementalencoder(encoding)()
    yield lambda part: write(encoder.encode(decoder.decode(part)))
    write(encoder.encode("", final=True))

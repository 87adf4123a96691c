"""The text of a landed file, unpacked and in UTF-8, a part at a time, as far as its limits allow.

What the text means does not belong here.
"""

import codecs
import zlib
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from contrail.config.file_names import Compression
from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError
from contrail.faults import is_fault

MB, KB = 1 << 20, 1 << 10
_GIVEN, _TAKEN = 64 * KB, MB
_GZIP = 31  # zlib's name for the format of one member, with its checksum
_GZIP_MARK, _ZSTD_MARK = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_RATIO_COUNTS_FROM = 64 * MB


def unpacked(
    stream: IO[bytes], size: int, compression: Compression, limits: FileLimits, encoding: str = "utf-8"
) -> Iterator[bytes]:
    """Yield the text of a file, in parts of about a megabyte.

    Args:
        stream: The file, at its beginning.
        size: The bytes of the file.
        compression: How it is packed; gzip may have several members, zstd several frames.
        limits: How large the text and a row may be.
        encoding: The encoding of the text. UTF-8 is passed on as it is.

    Raises:
        StructureError: empty, not what it is to be, damaged, truncated, or larger than its limits.
    """
    if not size:
        raise StructureError("empty_file", "the file has 0 bytes")
    text = Counted(size, limits)
    try:
        for part in _decoded(_parts(stream, compression), encoding, text):
            text.count(part)
            yield part
    except EOFError as error:
        raise StructureError(
            f"truncated_{_NAMES[compression]}",
            f"the {_NAMES[compression]} stream ends too early, after {size:,} bytes; lines 1 to {text.lines} can be read",
        ) from error
    except zlib.error as error:
        raise StructureError("damaged_gzip", f"the gzip stream is damaged: {error}") from error


_NAMES: dict[Compression, str] = {"gz": "gzip", "zst": "zstd", None: "file"}


def _parts(stream: IO[bytes], compression: Compression) -> Iterator[bytes]:
    if compression is None:
        return iter(lambda: stream.read(_TAKEN), b"")
    begin = stream.read(20)
    stream.seek(0)
    if not begin.startswith(_GZIP_MARK if compression == "gz" else _ZSTD_MARK):
        name, shown = _NAMES[compression], begin.decode("utf-8", "replace")
        raise StructureError(f"not_{name}", f"the file is not {name}; it begins with {shown!r}")
    return _inflated(stream) if compression == "gz" else _unpacked_zstd(stream)


class Readable:
    """A file's content as far as it can be unpacked. Its first bytes tell the compression, whatever its name is.

    ``whole`` says, after the last part, whether it was all.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        stream.seek(0)
        begin = stream.read(len(_ZSTD_MARK))
        stream.seek(0)
        self.compression: Compression = "gz" if begin.startswith(_GZIP_MARK) else "zst" if begin == _ZSTD_MARK else None
        self.whole, self._stream = True, stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self.compression == "zst":
                yield from self._to_the_last_byte()
            else:
                yield from _parts(self._stream, self.compression)
        except (EOFError, zlib.error, OSError) as error:
            if is_fault(error):
                raise
            self.whole = False

    def _to_the_last_byte(self) -> Iterator[bytes]:
        """Arrow's stream gives nothing of a part that it cannot fill. So smaller and smaller parts are asked for."""
        done = 0
        for taken in (_TAKEN, KB, 1):
            self._stream.seek(0)
            opened = _opened_zstd(self._stream)
            for low in range(0, done, _TAKEN):
                opened.read(min(_TAKEN, done - low))
            try:
                while part := opened.read(taken):
                    done += len(part)
                    yield part
                return
            except OSError as error:
                if is_fault(error):
                    raise
        raise EOFError


def _inflated(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the text of all members, a part of limited size at a time. Zeros may pad the end."""
    rest = stream.read(_GIVEN)
    while rest:
        member = zlib.decompressobj(wbits=_GZIP)
        while not member.eof:
            given = member.unconsumed_tail or rest or stream.read(_GIVEN)
            rest = b""
            if not given:
                raise EOFError
            if part := member.decompress(given, _TAKEN):
                yield part
        rest = member.unused_data or stream.read(_GIVEN)
        if rest.startswith(b"\0") and _only_zeros(rest, stream):
            return


def _only_zeros(rest: bytes, stream: IO[bytes]) -> bool:
    while rest and not rest.strip(b"\0"):
        rest = stream.read(_GIVEN)
    if rest:
        raise zlib.error("something follows the zeros at its end")
    return True


def _unpacked_zstd(stream: IO[bytes]) -> Iterator[bytes]:
    opened = _opened_zstd(stream)
    while True:
        try:
            part = opened.read(_TAKEN)
        except OSError as error:
            if is_fault(error):
                raise
            if "Truncated" in str(error):
                raise EOFError from error
            raise StructureError("damaged_zstd", f"the zstd stream is damaged: {error}") from error
        if not part:
            return
        yield part


def _opened_zstd(stream: IO[bytes]) -> pa.CompressedInputStream:
    # Its window is limited to 128 MB. The module zstandard ends a truncated frame without a word.
    return pa.CompressedInputStream(pa.PythonFile(Borrowed(stream), mode="r"), "zstd")


class Borrowed:
    """A file that Arrow may read or write, but not close."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self.read, self.write, self.flush, self.tell = stream.read, stream.write, stream.flush, stream.tell

    def close(self) -> None:
        """Do nothing."""


def _decoded(parts: Iterator[bytes], encoding: str, text: "Counted") -> Iterator[bytes]:
    """The same text in UTF-8. What claims to be UTF-8 is checked by its reader, who knows the columns."""
    if codecs.lookup(encoding).name == "utf-8":
        yield from parts
        return
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for part in parts:
            yield decoder.decode(part).encode()
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise StructureError(
            "wrong_encoding", f"after line {text.lines}: the text is not {encoding}: {str(error)[:200]}"
        ) from error


class Counted:
    """Counts text, up to its limits."""

    def __init__(self, packed: int, limits: FileLimits) -> None:
        self._packed, self._limits = packed, limits
        self._size = self._row = self.lines = 0

    def count(self, part: bytes) -> None:
        """Add a part of the text."""
        self._size += len(part)
        self.lines += part.count(b"\n")
        last = part.rfind(b"\n")
        self._row = self._row + len(part) if last < 0 else len(part) - last - 1
        if self._row > self._limits.max_row_kb * KB:
            detail = f"line {self.lines + 1} has more than {self._limits.max_row_kb:,} KB (file_limits.max_row_kb)"
            raise StructureError("row_too_long", detail)
        self._check()

    def add(self, size: int) -> None:
        """Add text that is counted by its size alone."""
        self._size += size
        self._check()

    def _check(self) -> None:
        limits, size = self._limits, self._size
        if size > limits.max_text_mb * MB:
            raise StructureError(
                "too_large",
                f"the file of {self._packed:,} bytes holds more than {limits.max_text_mb:,} MB of text"
                " (file_limits.max_text_mb)",
            )
        if size > _RATIO_COUNTS_FROM and size > limits.max_ratio * self._packed:
            raise StructureError(
                "too_large",
                f"the file of {self._packed:,} bytes holds more than {limits.max_ratio} times as much text"
                " (file_limits.max_ratio)",
            )

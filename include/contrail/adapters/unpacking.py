"""The text of a gzip file of any number of members, as far as its limits allow.

What the text means does not belong here.
"""

import zlib
from collections.abc import Iterator

from contrail.config.table_spec import FileLimits
from contrail.errors import StructureError

MB, KB = 1 << 20, 1 << 10
_GIVEN, _TAKEN = 64 * KB, MB
_GZIP = 31  # zlib's name for the format of one member, with its checksum
_RATIO_COUNTS_FROM = 64 * MB


def unpack(content: bytes, limits: FileLimits) -> bytes:
    """Return the text of a gzip file.

    Raises:
        StructureError: empty, not gzip, damaged, truncated, or larger than its limits.
    """
    if not content:
        raise StructureError("empty_file", "the file has 0 bytes")
    if not content.startswith(b"\x1f\x8b"):
        begin = content[:20].decode("utf-8", "replace")
        raise StructureError("not_gzip", f"the file is not gzip; it begins with {begin!r}")
    text = _Text(len(content), limits)
    try:
        for part in _inflated(content):
            text.add(part)
    except EOFError as error:
        raise StructureError(
            "truncated_gzip",
            f"the gzip stream ends too early, after {len(content):,} bytes; lines 1 to {text.lines} can be read",
        ) from error
    except zlib.error as error:
        raise StructureError("damaged_gzip", f"the gzip stream is damaged: {error}") from error
    return text.whole()


def _inflated(content: bytes) -> Iterator[bytes]:
    """Yield the text of all members, a part of limited size at a time. Zeros may pad the end."""
    given = memoryview(content)
    at, size = 0, len(content)
    while at < size:
        member = zlib.decompressobj(wbits=_GZIP)
        while not member.eof:
            tail = member.unconsumed_tail
            if not tail and at == size:
                raise EOFError
            part = member.decompress(tail or given[at : at + _GIVEN], _TAKEN)
            at = at if tail else min(at + _GIVEN, size)
            if part:
                yield part
        at -= len(member.unused_data)
        if not content[at : at + 1].strip(b"\0") and not content[at:].strip(b"\0"):
            return


class _Text:
    """Text that grows up to its limits."""

    def __init__(self, packed: int, limits: FileLimits) -> None:
        self._packed, self._limits = packed, limits
        self._parts: list[bytes] = []
        self._size = self._row = 0

    @property
    def lines(self) -> int:
        return sum(part.count(b"\n") for part in self._parts)

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        last = part.rfind(b"\n")
        self._row = self._row + len(part) if last < 0 else len(part) - last - 1
        self._check()

    def _check(self) -> None:
        limits, size = self._limits, self._size
        if self._row > limits.max_row_kb * KB:
            detail = f"line {self.lines + 1} has more than {limits.max_row_kb:,} KB (file_limits.max_row_kb)"
            raise StructureError("row_too_long", detail)
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

    def whole(self) -> bytes:
        return b"".join(self._parts)

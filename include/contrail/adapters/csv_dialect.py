"""The one CSV dialect of landed files: where each record of a text begins, or the first place that breaks a rule.

The dialect is RFC 4180, read strictly. Fields are separated by commas, and records by LF or CRLF. A field that holds a
comma, a quote or a line break stands in quotes. A quote inside it is doubled. Blank lines are skipped. ``broken_quotes``,
``line_ends`` and ``row_too_long`` are refused. A table may have another delimiter and another quote, or none. Which columns
a table has does not belong here.

A quote opens or closes by the number of quotes before it. So whole chunks are checked at once, without a loop over bytes.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.signedinteger]

# Positions take eight times the bytes that they point at. A chunk bounds them.
_CHUNK = 1 << 22
# Text that is looked at in one go. A record fits into it several times.
_BLOCK = 1 << 22
_LF, _CR = b"\n\r"

_NONE: Positions = np.array([], np.int32)

_WORDS = {
    "opening": "a quote stands inside a field that does not begin with one; put the field in quotes and double the quote",
    "closing": "text follows a closing quote; double a quote that belongs to the field",
    "unclosed": "a quote is not closed",
    "line_ends": "a CR stands alone outside quotes; end lines with LF or CRLF",
}


@dataclass(frozen=True)
class Dialect:
    """The characters between and around fields, in ASCII. Without a quote no field holds a delimiter or a line break."""

    delimiter: bytes = b","
    quote: bytes = b'"'

    def before_opening(self) -> Bytes:
        """What may stand before an opening quote."""
        return np.frombuffer(self.delimiter + b"\n" + self.quote, np.uint8)

    def after_closing(self) -> Bytes:
        """What may follow a closing quote."""
        return np.frombuffer(self.delimiter + b"\n\r" + self.quote, np.uint8)


RFC_4180 = Dialect()


@dataclass(frozen=True)
class Fault:
    """The first rule that a text breaks. ``field`` counts the fields of the record before ``position``, from 0."""

    rule: str
    words: str
    line: int
    field: int
    position: int


@dataclass(frozen=True)
class Records:
    """The records of a text that are not blank: the position and the line on which each begins, from line 1."""

    starts: Positions
    lines: Positions


@dataclass
class _State:
    """What a chunk must know of those before it."""

    quotes: int = 0
    last_quote: int = -1
    line: int = 1
    begin: int = 0
    begin_line: int = 1
    starts: list[Positions] = field(default_factory=list)
    lines: list[Positions] = field(default_factory=list)


@dataclass(frozen=True)
class _Marks:
    """Positions in one chunk. ``ends`` and ``returns`` are those outside quotes; ``breaks`` are all line feeds."""

    quotes: Positions
    breaks: Positions
    outside: npt.NDArray[np.bool_]
    returns: Positions

    @property
    def ends(self) -> Positions:
        """Line feeds that end a record."""
        return self.breaks[self.outside]


def blocks(parts: Iterable[bytes], longest: int, dialect: Dialect = RFC_4180) -> Iterator[bytes]:
    """Cut a text into blocks of whole records, each of about four megabytes.

    A text whose records cannot be told apart comes as it is: ``find_records`` says what is wrong with it.
    """
    most, waiting, size = max(_BLOCK, 2 * longest), list[bytes](), 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size < most:
            continue
        text = b"".join(waiting)
        end = _last_end(text, dialect.quote) or len(text)
        yield text[:end]
        waiting, size = [text[end:]], len(text) - end
    if size:
        yield b"".join(waiting)


def _last_end(text: bytes, quote: bytes) -> int:
    """The end of the last whole record of a text that begins with one; 0 when no record ends in it."""
    end = text.rfind(b"\n") + 1
    if not (quote and end):
        return end
    before = text.count(quote, 0, end)
    while end and before % 2:
        last = text.rfind(b"\n", 0, end - 1) + 1
        before -= text.count(quote, last, end)
        end = last
    return end


def find_records(text: bytes, longest: int, dialect: Dialect = RFC_4180, line: int = 1) -> Records | Fault:
    """Find where records begin.

    Args:
        text: Whole records of a CSV file, without a byte order mark.
        longest: Bytes that a record may have, without its line end.
        dialect: The characters between and around fields.
        line: The line of the file on which the text begins.

    Returns:
        The records, or the first fault. What follows a fault is not looked at.
    """
    data, state = np.frombuffer(text, np.uint8), _State(line=line, begin_line=line)
    rare = [byte for byte in (*dialect.quote, _CR) if byte in text]
    for low in range(0, len(data), _CHUNK):
        marks = _marks(data, low, state.quotes, rare, dialect)
        wrong = list(_wrong_quotes(data, marks, state.quotes, dialect)) if len(marks.quotes) else []
        wrong += _wrong_returns(data, marks) if len(marks.returns) else []
        wrong += _too_long(state.begin, marks.ends, min(low + _CHUNK, len(data)), longest)
        _add_records(data, marks, state)
        if wrong:
            position, rule, words = min(wrong)
            return _fault(text, position, rule, words, state, dialect)
        state.quotes += len(marks.quotes)
        state.last_quote = int(marks.quotes[-1]) if len(marks.quotes) else state.last_quote
    if state.quotes % 2:
        return _fault(text, state.last_quote, "broken_quotes", _WORDS["unclosed"], state, dialect)
    if state.begin < len(text):
        _add(state, np.array([state.begin]), np.array([state.begin_line]))
    return Records(_joined(state.starts), _joined(state.lines))


def _marks(data: Bytes, low: int, quotes_before: int, rare: Collection[int], dialect: Dialect) -> _Marks:
    chunk = data[low : low + _CHUNK]
    quote = dialect.quote[0] if dialect.quote else -1
    quotes, returns = (_positions(chunk, byte, low) if byte in rare else _NONE for byte in (quote, _CR))
    breaks = _positions(chunk, _LF, low)
    return _Marks(
        quotes, breaks, _outside(breaks, quotes, quotes_before), returns[_outside(returns, quotes, quotes_before)]
    )


def _positions(chunk: Bytes, byte: int, low: int) -> Positions:
    return np.flatnonzero(chunk == byte) + low


def _outside(positions: Positions, quotes: Positions, quotes_before: int) -> npt.NDArray[np.bool_]:
    if not len(quotes):
        return np.full(len(positions), quotes_before % 2 == 0)
    return (np.searchsorted(quotes, positions) + quotes_before) % 2 == 0


Wrong = tuple[int, str, str]


def _wrong_quotes(data: Bytes, marks: _Marks, quotes_before: int, dialect: Dialect) -> Iterator[Wrong]:
    opening, closing = marks.quotes[quotes_before % 2 :: 2], marks.quotes[1 - quotes_before % 2 :: 2]
    before, after = opening[opening > 0], closing[closing < len(data) - 1]
    for word, own, good in (
        ("opening", before, np.isin(data[before - 1], dialect.before_opening())),
        ("closing", after, np.isin(data[after + 1], dialect.after_closing())),
    ):
        if not good.all():
            yield int(own[np.argmin(good)]), "broken_quotes", _WORDS[word]


def _wrong_returns(data: Bytes, marks: _Marks) -> Iterator[Wrong]:
    last = len(data) - 1
    good = data[np.minimum(marks.returns + 1, last)] == _LF
    if not good.all():
        yield int(marks.returns[np.argmin(good)]), "line_ends", _WORDS["line_ends"]


def _too_long(begin: int, ends: Positions, read: int, longest: int) -> Iterator[Wrong]:
    begins = np.append(begin, ends + 1)
    lengths = np.append(ends, read) - begins
    if len(lengths) and lengths.max() > longest:
        position = int(begins[np.argmax(lengths > longest)]) + longest
        yield position, "row_too_long", f"a row has more than {longest:,} bytes; is a quote not closed?"


def _add_records(data: Bytes, marks: _Marks, state: _State) -> None:
    ends = marks.ends
    if len(ends):
        after = state.line + np.flatnonzero(marks.outside) + 1
        begins = np.append(state.begin, ends[:-1] + 1)
        lines = np.append(state.begin_line, after[:-1])
        blank = (ends == begins) | ((ends == begins + 1) & (data[begins] == _CR))
        _add(state, begins[~blank], lines[~blank])
        state.begin, state.begin_line = int(ends[-1]) + 1, int(after[-1])
    state.line += len(marks.breaks)


def _add(state: _State, starts: Positions, lines: Positions) -> None:
    # Four bytes are enough for positions: a block has less than 2 GB.
    state.starts.append(starts.astype(np.int32))
    state.lines.append(lines.astype(np.int64))


def _joined(parts: list[Positions]) -> Positions:
    return np.concatenate(parts) if parts else _NONE


def _fault(text: bytes, position: int, rule: str, words: str, state: _State, dialect: Dialect) -> Fault:
    # The record may begin in this chunk, before the fault: of those that begin at or before it, the last.
    starts, lines = (
        _joined([*state.starts, np.array([state.begin])]),
        _joined([*state.lines, np.array([state.begin_line])]),
    )
    record = max(int(np.searchsorted(starts, position, side="right")) - 1, 0)
    begin = int(starts[record])
    return Fault(rule, words, int(lines[record]), fields_before(text, begin, position, dialect), position)


def fields_before(text: bytes, begin: int, position: int, dialect: Dialect = RFC_4180) -> int:
    """Count the fields that end between the beginning of a record and a position in it."""
    within = np.frombuffer(text[begin:position], np.uint8)
    inside = np.isin(within, np.frombuffer(dialect.quote, np.uint8)).cumsum() % 2 == 1
    return int(np.count_nonzero((within == dialect.delimiter[0]) & ~inside))

"""Texts that are not CSV or JSON Lines as the spec says: encodings, line ends, quotes, headers, nested values."""

import json
from collections.abc import Callable
from typing import Any

from tests.corpus.flights import COLUMNS
from tests.corpus.kind import CSV, HARMLESS, JSONL, TEXT, text

# ---- encodings, of both ----

text("a mark of UTF-8", TEXT, HARMLESS)(lambda good: b"\xef\xbb\xbf" + good)
text("two marks of UTF-8", TEXT, {"csv": "refused missing_column", "jsonl": "refused not_json"})(
    lambda good: b"\xef\xbb\xbf" * 2 + good
)
text("UTF-16", TEXT, "refused not_utf8")(lambda good: good.decode().encode("utf-16"))
text("UTF-16 without a mark", TEXT, {"csv": "refused missing_column", "jsonl": "refused not_json"})(
    lambda good: good.decode().encode("utf-16-le")
)
text("UTF-32", TEXT, "refused not_utf8")(lambda good: good.decode().encode("utf-32"))
text("EBCDIC", TEXT, "refused not_utf8")(lambda good: good.decode().encode("cp037"))
text("a letter in Latin-1", TEXT, "refused not_utf8")(lambda good: good.replace(b"EWR", b"\xc4WR", 1))
text("two encodings", TEXT, "refused not_utf8")(
    lambda good: good.replace(b"EWR", "ÄWR".encode(), 1).replace(b"JFK", b"\xc4FK", 1)
)
text("an overlong sequence", TEXT, "refused not_utf8")(lambda good: good.replace(b"EWR", b"\xc1\x85WR", 1))
text("half of a surrogate", TEXT, "refused not_utf8")(lambda good: good.replace(b"EWR", b"\xed\xa0\x80R", 1))
text("a NUL in a value", TEXT, {"csv": "quarantined from_new_york", "jsonl": "refused not_json"})(
    lambda good: good.replace(b"EWR", b"E\0R", 1)
)
text("NULs between the rows", TEXT, {"csv": "refused", "jsonl": "refused not_json"})(
    lambda good: good.replace(b"\n", b"\n\0\0\0\n", 3)
)
text("a Ctrl-Z at the end", TEXT, {"csv": "refused ragged_row", "jsonl": "refused not_json"})(
    lambda good: good + b"\x1a"
)
text("letters that look alike", TEXT, "quarantined from_new_york")(
    lambda good: good.replace(b"EWR", "ЕWR".encode(), 1)  # a Cyrillic E
)
text("a letter of no width", TEXT, "quarantined from_new_york")(
    lambda good: good.replace(b"EWR", "EWR\u200b".encode(), 1)
)
text("digits of another script", CSV, "quarantined type:flight")(
    lambda good: _in_cell(good, 1, "flight", "١٢٣".encode())
)
text("letters from right to left", TEXT, "quarantined from_new_york")(
    lambda good: good.replace(b"EWR", "\u202eRWE".encode(), 1)
)

# ---- line ends, of both ----

text("CRLF", TEXT, HARMLESS)(lambda good: good.replace(b"\n", b"\r\n"))
text("CRLF and LF", TEXT, HARMLESS)(lambda good: good.replace(b"\n", b"\r\n", 20))
text("CR alone", TEXT, {"csv": "refused line_ends", "jsonl": "refused not_json"})(
    lambda good: good.replace(b"\n", b"\r")
)
text("CR alone in some lines", TEXT, {"csv": "refused line_ends", "jsonl": "refused not_json"})(
    lambda good: good.replace(b"\n", b"\r", 3)
)
text("CR CR LF", CSV, "refused line_ends")(lambda good: good.replace(b"\n", b"\r\r\n"))
text("blank lines", TEXT, HARMLESS)(lambda good: good.replace(b"\n", b"\n\n"))
text("a hundred thousand blank lines at the end", TEXT, HARMLESS)(lambda good: good + b"\n" * 100_000)
text("only blank lines", TEXT, {"csv": "refused empty_file", "jsonl": "refused no_rows"})(lambda _: b"\n" * 50)
text("other marks for line ends", TEXT, {"csv": "refused", "jsonl": "refused not_json"})(
    lambda good: good.replace(b"\n", "\u2028".encode(), 5)
)

# ---- CSV: header and fields ----


def _cells(good: bytes) -> list[list[bytes]]:
    return [line.split(b",") for line in good.splitlines()]


def _joined(cells: list[list[bytes]], mark: bytes = b",") -> bytes:
    return b"".join(mark.join(row) + b"\n" for row in cells)


def _in_cell(good: bytes, row: int, column: str, value: bytes) -> bytes:
    cells = _cells(good)
    cells[row][list(COLUMNS).index(column)] = value
    return _joined(cells)


def _each(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda good: _joined([change(row) for row in _cells(good)])


def _header(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    def changed(good: bytes) -> bytes:
        first, *others = _cells(good)
        return _joined([change(first), *others])

    return changed


def _again(good: bytes, at: int) -> bytes:
    """The text with its header once more, at the end of a line."""
    end = good.index(b"\n", at) + 1
    return good[:end] + good[: good.index(b"\n") + 1] + good[end:]


text("a header alone", CSV, "refused no_rows")(lambda good: good.splitlines()[0])
text("no header", CSV, "refused missing_column")(lambda good: good.partition(b"\n")[2])
text("two headers", CSV, "quarantined type:flight_date")(lambda good: good.partition(b"\n")[0] + b"\n" + good)
text("the header again within", CSV, "quarantined type:flight_date")(lambda good: _again(good, len(good) // 2))
text("a comment above the header", CSV, "refused missing_column")(lambda good: b"# made by export 1.2\n" + good)
text("a line for the separator", CSV, "refused missing_column")(lambda good: b"sep=,\n" + good)
text("a line of totals", CSV, "refused ragged_row")(lambda good: good + b"total,119\n")
text("names with spaces around", CSV, "refused missing_column")(_header(lambda names: [b" " + name for name in names]))
text("names in capitals", CSV, "refused missing_column")(_header(lambda names: [name.upper() for name in names]))
text("names in quotes", CSV, HARMLESS)(_header(lambda names: [b'"' + name + b'"' for name in names]))
text("a name of a million letters", CSV, "refused missing_column")(
    _header(lambda names: [b"x" * 1_000_000, *names[1:]])
)
text("an empty name", CSV, "refused missing_column")(_header(lambda names: [b"", *names[1:]]))
text("a name of the terminal's own codes", CSV, "refused missing_column")(
    _header(lambda names: [b"\x1b[2J\x1b]0;x\x07", *names[1:]])
)
text("a name that is markup", CSV, "refused missing_column")(_header(lambda names: [b"[/red]<script>", *names[1:]]))
text("ten thousand columns", CSV, "refused extra_column")(_each(lambda row: row + [b"x%d" % n for n in range(10_000)]))
text("ten thousand columns of one name", CSV, "refused extra_column")(_each(lambda row: row + [b"x"] * 10_000))
text("a million commas in the header", CSV, "refused extra_column")(_header(lambda names: names + [b""] * 1_000_000))
text("a column with all rows' numbers before it", CSV, "refused extra_column")(
    lambda good: _joined([[b"%d" % n if n else b"", *row] for n, row in enumerate(_cells(good))])
)
text("a field more in one row", CSV, "refused ragged_row")(lambda good: good + good.splitlines()[-1] + b",x\n")
text("a field less in one row", CSV, "refused ragged_row")(
    lambda good: good + good.splitlines()[-1].rpartition(b",")[0] + b"\n"
)
text("a comma at the end of each row", CSV, "refused")(_each(lambda row: [*row, b""]))
text("semicolons", CSV, "refused missing_column")(lambda good: good.replace(b",", b";"))
text("tabs", CSV, "refused missing_column")(lambda good: good.replace(b",", b"\t"))
text("semicolons in one row", CSV, "refused ragged_row")(
    lambda good: good + good.splitlines()[-1].replace(b",", b";") + b"\n"
)

# ---- CSV: quotes ----

text("a quote that is not closed", CSV, "refused broken_quotes")(lambda good: good.replace(b"EWR", b'"EWR', 1))
text("a quote within a field", CSV, "refused broken_quotes")(lambda good: good.replace(b"EWR", b'E"R', 1))
text("text after a closing quote", CSV, "refused broken_quotes")(lambda good: good.replace(b"EWR", b'"EW"R', 1))
text("quotes escaped by a backslash", CSV, "refused broken_quotes")(lambda good: good.replace(b"EWR", b'"E\\"R"', 1))
text("single quotes", CSV, "quarantined from_new_york")(lambda good: good.replace(b"EWR", b"'EWR'", 1))
text("every field in quotes", CSV, HARMLESS)(_each(lambda row: [b'"' + cell + b'"' for cell in row]))
text("a line end within quotes", CSV, "quarantined from_new_york")(lambda good: good.replace(b"EWR", b'"EW\nR"', 1))
text("a comma within quotes", CSV, "quarantined from_new_york")(lambda good: good.replace(b"EWR", b'"EW,R"', 1))
text("a comma without quotes", CSV, "refused ragged_row")(lambda good: good.replace(b"EWR", b"EW,R", 1))
text("spaces around each field", CSV, "refused bad_share")(
    lambda good: _joined([row if not n else [b" " + cell + b" " for cell in row] for n, row in enumerate(_cells(good))])
)
text("a field of two million bytes", CSV, "refused row_too_long")(
    lambda good: good.replace(b"EWR", b"E" * 2_000_000, 1)
)
text("a field of a hundred thousand bytes", TEXT, "quarantined from_new_york")(
    lambda good: good.replace(b"EWR", b"E" * 100_000, 1)
)
text("a formula of a spreadsheet", TEXT, "quarantined from_new_york")(
    lambda good: good.replace(b"EWR", b"=cmd|' /C calc'!A0", 1)
)
text("a piece of SQL", TEXT, "quarantined from_new_york")(lambda good: good.replace(b"EWR", b"'; DROP TABLE x; --", 1))

# ---- JSON Lines ----


def _objects(good: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in good.splitlines()]


def _lines(objects: list[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def _in_line(change: Callable[[bytes], bytes], line: int = 5) -> Callable[[bytes], bytes]:
    """One line changed."""

    def changed(good: bytes) -> bytes:
        lines = good.splitlines()
        lines[line] = change(lines[line])
        return b"\n".join(lines) + b"\n"

    return changed


def _in_object(**put: Any) -> Callable[[bytes], bytes]:
    return _in_line(lambda line: json.dumps(json.loads(line) | put).encode())


text("one array of all rows", JSONL, "refused not_json")(lambda good: json.dumps(_objects(good)).encode())
text("one array on many lines", JSONL, "refused not_json")(lambda good: json.dumps(_objects(good), indent=1).encode())
text("arrays for rows", JSONL, "refused not_json")(lambda good: _lines([list(row.values()) for row in _objects(good)]))
text("a line that is null", JSONL, "refused not_json")(_in_line(lambda _: b"null"))
text("a line that is a text", JSONL, "refused not_json")(_in_line(lambda line: json.dumps(line.decode()).encode()))
text("an empty object", JSONL, "quarantined not_null:flight_date")(_in_line(lambda _: b"{}"))
text("two objects on a line", JSONL, "refused not_json")(_in_line(lambda line: line + b" " + line))
text("a comma after each object", JSONL, "refused not_json")(lambda good: good.replace(b"\n", b",\n"))
text("an object cut by the end of its line", JSONL, "refused not_json")(_in_line(lambda line: line[:-20]))
text("a key twice with two values", JSONL, "refused repeated_column")(
    _in_line(lambda line: line[:-1] + b', "distance": 1}')
)
text("a key twice with one value", JSONL, "refused repeated_column")(
    _in_line(lambda line: line[:-1] + b', "origin": ' + json.dumps(json.loads(line)["origin"]).encode() + b"}")
)
text("a key that is not in the spec", JSONL, "refused extra_column")(_in_object(colour="red"))
text("ten thousand keys", JSONL, "refused extra_column")(_in_object(**{f"k{n}": n for n in range(10_000)}))
text("a key of no letters", JSONL, "refused extra_column")(_in_object(**{"": 1}))
text("a key escaped by \\u", JSONL, HARMLESS)(_in_line(lambda line: line.replace(b'"origin"', b'"\\u006frigin"')))
text("a key in capitals", JSONL, "refused missing_column")(
    _in_line(lambda line: line.replace(b'"origin"', b'"ORIGIN"'))
)
text("a list for a value", JSONL, "refused nested_value")(_in_object(distance=[1, 2]))
text("an object for a value", JSONL, "refused nested_value")(_in_object(distance={"miles": 1}))
text("brackets a hundred thousand deep", JSONL, "refused")(
    _in_line(lambda line: line[:-1] + b', "distance": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
)
text("objects a hundred thousand deep", JSONL, "refused")(
    _in_line(lambda line: b'{"origin": ' * 50_000 + b"1" + b"}" * 50_000)
)
text("a number of a hundred thousand digits", JSONL, "quarantined type:distance")(
    _in_line(lambda line: line.replace(b'"distance": ', b'"distance": ' + b"9" * 100_000))
)
text("a number with an exponent of a million", JSONL, "quarantined type:distance")(
    _in_line(lambda line: _with_raw(line, "distance", b"1e999999"))
)
text("NaN and Infinity", JSONL, "quarantined type:distance")(
    _in_line(lambda line: _with_raw(line, "distance", b"Infinity"))
)
text("single quotes for JSON", JSONL, "refused not_json")(_in_line(lambda line: line.replace(b'"', b"'")))
text("a comment in JSON", JSONL, "refused not_json")(_in_line(lambda line: line[:-1] + b" /* x */}"))
text("a comma before the brace", JSONL, HARMLESS)(_in_line(lambda line: line[:-1] + b",}"))
text("keys without quotes", JSONL, "refused not_json")(_in_line(lambda line: line.replace(b'"origin"', b"origin")))
text("half of a surrogate by \\u", JSONL, "refused not_json")(
    _in_line(lambda line: _with_raw(line, "origin", b'"\\ud800"'))
)
text("a NUL by \\u", JSONL, "quarantined from_new_york")(
    _in_line(lambda line: _with_raw(line, "origin", b'"E\\u0000R"'))
)
text("numbers as texts of JSON", JSONL, HARMLESS)(
    lambda good: _lines([{k: str(v) if isinstance(v, float) else v for k, v in row.items()} for row in _objects(good)])
)
text("a word for a truth", JSONL, "quarantined type:far")(_in_object(far="perhaps"))
text("keys in another order in each line", JSONL, HARMLESS)(
    lambda good: _lines([dict(sorted(row.items(), reverse=n % 2 == 1)) for n, row in enumerate(_objects(good))])
)
text("no key of a required column", JSONL, "quarantined not_null:origin")(
    _in_line(lambda line: json.dumps({k: v for k, v in json.loads(line).items() if k != "origin"}).encode())
)


def _with_raw(line: bytes, key: str, raw: bytes) -> bytes:
    mark = "4e4c0f"
    return json.dumps(json.loads(line) | {key: mark}).encode().replace(f'"{mark}"'.encode(), raw)

"""Rows that are wrong in any format: columns, values, keys, days, and days that are unlike the days before."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from tests.corpus.flights import Row, Rows
from tests.corpus.kind import ALL, CSV, HARMLESS, PARQUET, TEXT, Place, place, rows, value, values

# ---- columns ----


def _each(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    return lambda given: [change(row) for row in given]


def _renamed(old: str, new: str) -> Callable[[Rows], Rows]:
    return _each(lambda row: {new if name == old else name: own for name, own in row.items()})


def _without(column: str) -> Callable[[Rows], Rows]:
    return _each(lambda row: {name: own for name, own in row.items() if name != column})


rows("a required column is missing", "refused missing_column")(_without("distance"))
rows("an optional column is missing", "refused unusual")(_without("dest"))
rows("the key's column is missing", "refused missing_column")(_without("flight"))
rows("a column more", "refused extra_column")(_each(lambda row: {**row, "colour": "red"}))
rows("a column renamed", "refused missing_column")(_renamed("distance", "distances"))
rows("a column renamed by case", "refused missing_column")(_renamed("distance", "Distance"))
rows("a column renamed by a space", "refused missing_column")(_renamed("distance", "distance "))
rows("a column renamed by an accent", "refused missing_column")(_renamed("distance", "distançe"))
rows("a column with a reserved name more", "refused extra_column")(_each(lambda row: {**row, "_line": 1}))
rows("a column of the partition more", "refused extra_column")(
    _each(lambda row: {**row, "partition_date": "2013-01-01"})
)
rows("columns in another order", HARMLESS)(_each(lambda row: dict(reversed(row.items()))))
rows("two columns' names swapped", "refused bad_share")(
    _each(lambda row: {**row, "distance": row["flight"] * 10.0 + 7_000, "flight": int(row["distance"])})
)
rows("two columns of one type swapped", "refused bad_share")(
    _each(lambda row: {**row, "departs_at": row["published_at"], "published_at": row["departs_at"]})
)
rows("two columns of texts swapped", "refused bad_share")(
    _each(lambda row: {**row, "origin": row["dest"], "dest": row["origin"]})
)
rows("three hundred columns more", "refused extra_column")(
    _each(lambda row: {**row, **{f"x{n}": n for n in range(300)}})
)

# ---- one bad value ----

value("a text for a number", "distance", "far", "quarantined type:distance")
value("a text for a whole number", "flight", "AB", "quarantined type:flight")
value("a text for a date", "flight_date", "tomorrow", "quarantined type:flight_date")
value("a text for an instant", "departs_at", "noon", "quarantined type:departs_at")
value("a text for a truth", "far", "maybe", "quarantined type:far", (*CSV, *PARQUET))
value("a whole number with a fraction", "flight", "12.5", "quarantined type:flight")
value("a whole number over 64 bits", "minutes", "9223372036854775808", "quarantined type:minutes")
value("the largest whole number", "minutes", 2**63 - 1, "quarantined plausible_minutes")
value("a whole number of 400 digits", "minutes", "9" * 400, "quarantined type:minutes")
value("a number over a double", "distance", "1e999", "quarantined type:distance")
value("a number of 400 digits", "distance", "9" * 400, "quarantined type:distance")
value("NaN", "distance", math.nan, "quarantined type:distance")
value("infinity", "distance", math.inf, "quarantined type:distance")
value("minus infinity", "distance", -math.inf, "quarantined type:distance")
value("minus zero", "distance", -0.0, "quarantined plausible_distance")
value("minus zero in whole numbers", "minutes", "-0", "quarantined plausible_minutes", TEXT)
value("the smallest number", "distance", 5e-324, "quarantined plausible_distance")
value("a separator of thousands", "distance", "1,400", "quarantined type:distance")
value("a decimal comma", "distance", "719,0", "quarantined type:distance")
value("a thin space in a number", "distance", "1\u202f400", "quarantined type:distance")
value("an underscore in a number", "flight", "1_545", "quarantined type:flight")
value("a number in hexadecimal", "flight", "0x609", "quarantined type:flight")
value("a number with a unit", "distance", "1400 mi", "quarantined type:distance")
value("a number in words", "flight", "fifteen", "quarantined type:flight")
value("a space before a number", "flight", " 1545", "quarantined type:flight")
value("a sign of currency", "distance", "$1400", "quarantined type:distance")
value("the word null", "distance", "NULL", "quarantined type:distance")
value("the word None for a code", "origin", "None", "quarantined from_new_york")
value("a negative number", "distance", -1_400.0, "quarantined plausible_distance")
value("an empty required value", "origin", None, "quarantined not_null:origin")
value("an empty key", "flight", None, "quarantined not_null:flight")
value("an empty text for a key", "carrier", "", {"csv": "quarantined not_null:carrier", "": "quarantined carrier_code"})
value("a text of spaces", "carrier", "  ", "quarantined carrier_code")
value("an unknown code", "origin", "LHR", "quarantined from_new_york")
value("a code in small letters", "origin", "ewr", "quarantined from_new_york")
value("an emoji of many code points", "dest", "👨‍👩‍👧‍👦", "quarantined airport_code")
value("a script of a page", "dest", "</script><script>alert(1)</script>", "quarantined airport_code")
value("codes of the terminal", "dest", "\x1b[2J\x1b]0;owned\x07", "quarantined airport_code")
value("a template", "dest", "{{ 7*7 }}${7*7}%s", "quarantined airport_code")
value("a path", "dest", "../../../../etc/passwd", "quarantined airport_code")
value("a line end in a value", "dest", "A\nB", "quarantined airport_code")
value("a 30th of February", "flight_date", "2013-02-30", "quarantined type:flight_date")
value("a date of the month first", "flight_date", "02/20/2013", "quarantined type:flight_date")
value("a date in two digits", "flight_date", "13-02-20", "quarantined type:flight_date")
value("the year 0", "flight_date", "0000-01-01", "quarantined type:flight_date")
value("the year 1", "flight_date", date(1, 1, 1), "quarantined type:flight_date")
value("the year 9999", "flight_date", date(9999, 12, 31), "quarantined type:flight_date")
value("the year 10000", "flight_date", "10000-01-01", "quarantined type:flight_date")
value("an instant of the year 1", "departs_at", "0001-01-01T00:00:00Z", "quarantined type:departs_at")
value("an instant of the year 9999", "departs_at", "9999-12-31T23:59:59Z", "quarantined type:departs_at")
value("an instant without a zone", "departs_at", "2013-02-20T12:00:00", "quarantined type:departs_at")
value(
    "an instant with a zone's name", "departs_at", "2013-02-20T12:00:00 America/New_York", "quarantined type:departs_at"
)
value("an offset of 99 hours", "departs_at", "2013-02-20T12:00:00+99:00", "quarantined type:departs_at")
value("an hour 24 of another day", "departs_at", "2013-01-20T24:00:00Z", "quarantined departs_on_its_date")
value("a second 60", "departs_at", "2013-02-20T12:00:60Z", "quarantined type:departs_at")
value("a number of seconds since 1970", "departs_at", "1361365200", "quarantined type:departs_at")
value("known after its day", "published_at", datetime(2013, 11, 30, tzinfo=UTC), "quarantined known_at_in_partition")
value("known in the year 1678", "published_at", datetime(1678, 1, 1, tzinfo=UTC), "refused published_in_the_evening")

# ---- whole columns ----

values("a whole column of decimal commas", "distance", lambda own: str(own).replace(".", ","), "refused bad_share")
values("a whole column of texts", "distance", lambda _: "x", "refused bad_share")
values("a whole required column empty", "origin", lambda _: None, "refused bad_share")
values("a whole optional column empty", "dest", lambda _: None, "refused unusual")
values("whole numbers written as floats", "flight", lambda own: f"{own}.0", HARMLESS)
values("numbers with exponents", "distance", lambda own: f"{own:.6e}", HARMLESS, TEXT)
values("truths as 0 and 1", "far", lambda own: str(int(bool(own))), HARMLESS)
values("truths in capitals", "far", lambda own: str(own).upper(), HARMLESS)
values("truths as yes and no", "far", lambda own: "yes" if own else "no", "refused bad_share")
values("instants on another clock", "departs_at", lambda own: _shown(own, 5.5), HARMLESS)
values("instants with a space for the T", "departs_at", lambda own: _shown(own, 0).replace("T", " "), HARMLESS)
values("local hours marked UTC", "departs_at", lambda own: own - timedelta(hours=5), "refused unusual")  # type: ignore[operator]
values("instants without a zone", "departs_at", lambda own: _shown(own, 0)[:19], "refused bad_share")
values("dates with times", "flight_date", lambda own: f"{own} 00:00:00", "refused bad_share")
values("dates of the month first", "flight_date", lambda own: f"{own:%m/%d/%Y}", "refused bad_share")
values("another unit", "distance", lambda own: own * 1.609344, "refused")  # type: ignore[operator]
values("a constant", "minutes", lambda _: 100, "refused unusual")
values("negated", "distance", lambda own: -own, "refused bad_share")  # type: ignore[operator]
values("spaces after codes", "origin", lambda own: f"{own} ", "refused bad_share")


def _shown(own: Any, hours: float) -> str:
    return str(own.astimezone(timezone(timedelta(hours=hours))).isoformat())


# ---- rows ----


@rows("one row twice", "quarantined unique_key")
def _(given: Rows) -> Rows:
    return [*given, given[3]]


@rows("one key twice with two values", "quarantined unique_key")
def _(given: Rows) -> Rows:
    return [*given, {**given[3], "distance": given[3]["distance"] + 1}]


@rows("every row twice", "refused bad_share")
def _(given: Rows) -> Rows:
    return given + given


@rows("rows in another order", HARMLESS)
def _(given: Rows) -> Rows:
    return given[::-1]


@rows("half of the rows", "refused")
def _(given: Rows) -> Rows:
    return given[: len(given) // 2]


@rows("a single row", "refused volume")
def _(given: Rows) -> Rows:
    return given[:1]


@rows("no row of an airport", "refused all_origins")
def _(given: Rows) -> Rows:
    return [row for row in given if row["origin"] != "LGA"]


@rows("ten bad rows of a hundred", "quarantined from_new_york")
def _(given: Rows) -> Rows:
    return [{**row, "origin": "LHR"} if n in range(5, 13) else row for n, row in enumerate(given)]


@rows("fifteen bad rows of a hundred", "refused bad_share")
def _(given: Rows) -> Rows:
    return [{**row, "origin": "LHR"} if n % 7 == 0 else row for n, row in enumerate(given)]


@rows("one row of another day", "quarantined on_its_day")
def _(given: Rows) -> Rows:
    return [{**row, "flight_date": row["flight_date"] - timedelta(1)} if n == 4 else row for n, row in enumerate(given)]


@rows("a million rows of one key", "refused", ("csv.gz", "jsonl.gz", "parquet"), dear=True)
def _(given: Rows) -> Rows:
    return given + [given[0]] * 1_000_000


@rows("values of two columns permuted", "refused")
def _(given: Rows) -> Rows:
    moved = [row["distance"] for row in given[1:]] + [given[0]["distance"]]
    return [{**row, "distance": own} for row, own in zip(given, moved, strict=True)]


# ---- content of another time or table ----


@place("the day before's content", ALL, "refused bad_share")
def _(at: Place) -> None:
    at.land(at.good(-1))


@place("the day before's content with today's dates", ALL, "refused")
def _(at: Place) -> None:
    from tests.corpus.flights import file_of

    one = timedelta(1)
    moved = ("flight_date", "departs_at", "published_at")
    before = [{**row, **{name: row[name] + one for name in moved}} for row in at.good_rows(-1)]
    at.rows = len(before)
    at.land(file_of(before, at.form))


@place("last year's content", ALL, "refused bad_share")
def _(at: Place) -> None:
    from tests.corpus.flights import file_of

    moved = ("flight_date", "departs_at", "published_at")
    at.land(file_of([{**row, **{n: row[n] - timedelta(365) for n in moved}} for row in at.good_rows()], at.form))


@place("the content of another table", ALL, "refused missing_column")
def _(at: Place) -> None:
    from tests.corpus.forms import render

    own = [{"faa": row["dest"], "name": row["origin"], "lat": row["distance"]} for row in at.good_rows()]
    at.land_text(render(own, ["faa", "name", "lat"], at.form))


@place("two days in one file", ALL, "refused bad_share")
def _(at: Place) -> None:
    from tests.corpus.flights import file_of

    at.land(file_of(at.good_rows() + at.good_rows(1), at.form))

"""Which column of a sample is a row's time, and from when on its outcome is known."""

from contrail.adapters.sample_files import SampleColumn
from contrail.config.names import quoted
from contrail.errors import DataError, SpecError
from contrail.operations.scaffold import words
from contrail.operations.scaffold.choices import Choice, Rows
from contrail.operations.scaffold.looked import Looked, local

_MOST_EMPTY = 0.02  # share of rows without a time, which are left out
_LATER = 0.1  # share of rows whose outcome is known later than the row, or the column says nothing
_LONGEST_SPAN = 40 * 366  # days


def time_of(looked: Looked) -> SampleColumn:
    """The column of the date or time of a row.

    Raises:
        DataError: There is none, or all rows have the same.
    """
    columns, rows = looked.sample.columns, looked.sample.rows
    times = [column for column in columns if column.type in ("date", "timestamp")]
    if not times:
        shown = ", ".join(f"{column.given} ({column.type})" for column in columns)
        raise DataError(
            f"{looked.sample.name}: no column has dates or times. Contrail predicts day by day, so each row needs the date "
            f"or the time at which it happened, as 2024-01-31 or 2024-01-31T05:15:00Z. Nothing was written. Add such a column to "
            f"the file. Columns: {shown}"
        )
    whole = [c for c in times if c.empty <= _MOST_EMPTY * rows and _span(c) <= _LONGEST_SPAN] or times
    likely = [c for c in whole if not words.says(c.name, words.NEVER_EVENTS)] or whole
    guess = min(
        likely, key=lambda c: (words.says(c.name, words.ENDS), not words.says(c.name, words.EVENTS), str(c.least)[:10])
    )
    guess = next((column for column in likely if _is_clock_of(looked, column, guess)), guess)
    others = tuple(column.given for column in times if column is not guess)
    why = (
        "it is the only date or time" if not others else "it is the earliest that every row has, by its name and values"
    )
    given = looked.options.time and looked.named("--time", looked.options.time).given
    taken = looked.named(
        "--time",
        looked.choices.settle(
            "Which column says when a row happens?" if others else "",
            Choice("time", guess.given, f"{why} ({guess.form})", others),
            given,
            [column.given for column in times],
        ),
    )
    if taken.doubt:
        read = f"{taken.given} is read as {taken.form}; all its values fit {taken.doubt} too"
        decide = f"whether {taken.given} is {taken.form} or {taken.doubt} (sample.sql)"
        looked.choices.made.append(Choice("dates", taken.form, read, (taken.doubt,), decide))
    if taken.empty:
        why = f"{taken.empty:,} of {rows:,} rows have none; source.py leaves them out"
        looked.choices.made.append(Choice("rows without a time", taken.given, why))
    if taken.distinct < 2:
        raise DataError(
            f"{looked.sample.name}: all rows have the time {taken.least}; a sample needs some weeks of days"
        )
    return taken


def _is_clock_of(looked: Looked, column: SampleColumn, other: SampleColumn) -> bool:
    """Whether a time has the dates of another column, and so says more."""
    finer = column.type == "timestamp" and other.type == "date"
    return finer and not looked.count(f"count(*) FILTER ({local(column)}::DATE <> {quoted(other.name)})")


def _span(column: SampleColumn) -> int:
    return (column.most - column.least).days if column.distinct else 0


def known_at_of(looked: Looked, label: SampleColumn, time: SampleColumn) -> SampleColumn | None:
    """The column of the instant at which the outcome was known: later than the row's time, and there with the label.

    Raises:
        SpecError: The column that was named is none.
    """
    found = []
    for column in looked.sample.columns:
        if column is time or column.type not in ("date", "timestamp") or words.says(column.name, words.NEVER_EVENTS):
            continue
        own, start, outcome = quoted(column.name), quoted(time.name), quoted(label.name)
        before = looked.count(f"count(*) FILTER ({own}::DATE < {start}::DATE)")
        after = looked.count(f"count(*) FILTER ({own} > {start})")
        without = looked.count(f"count(*) FILTER ({own} IS NULL AND {outcome} IS NOT NULL)")
        most = _MOST_EMPTY * looked.sample.rows
        if before <= most and without <= most and after >= _LATER * looked.sample.rows:
            found.append(column)
    given = looked.options.known_at
    if given:
        column = looked.named("--known-at", looked.choices.settle("", Choice("known at", given, ""), given))
        if column not in found:
            raise SpecError(
                f"--known-at {given}: it is no date or time later than {time.given} that is there wherever {label.given} is"
            )
        return column
    if not found or looked.options.label_after is not None:
        return None
    guess = max(found, key=lambda column: (words.says(column.name, words.ENDS), str(column.most)))
    why = "it is never before the row's time, and there wherever the label is"
    decide = f"whether {label.given} is known for sure at {guess.given}, and not later (known_at)"
    others = (*(column.given for column in found if column is not guess), "none")
    taken = looked.choices.settle(
        f"From which column on is {label.given} known?",
        Choice("known at", guess.given, why, others, decide),
        None,
        [guess.given, *others],
    )
    return None if taken == "none" else looked.named("--known-at", taken)


def label_after_of(looked: Looked, label: SampleColumn, time: SampleColumn, rows: Rows) -> int:
    """After how many days the outcome is known, where no column says it.

    Raises:
        SpecError: A person's answer is no such number.
    """
    guess = 0 if rows == "planned" else 1
    when = "at the end of its day" if rows == "planned" and time.type == "date" else "an hour after it begins"
    why = f"no column says it; a planned row's outcome is taken as known {when}" if not guess else "no column says it"
    given = looked.options.label_after
    decide = f"when {label.given} is really known: LABEL_AFTER in source.py (--label-after)"
    answer = looked.choices.settle(
        f"How many days after {time.given} is {label.given} known?",
        Choice("days until known", str(guess), why, (), decide),
        None if given is None else str(given),
    )
    if not answer.isdecimal() or int(answer) > 365:
        raise SpecError(f"--label-after {answer}: it is a whole number of days, 0 to 365")
    return int(answer)

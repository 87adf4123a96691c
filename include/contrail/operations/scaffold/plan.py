"""The tables of a new pipeline: from the roles of a sample's columns to what its files say.

How a file is written belongs to the templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from contrail.adapters.sample_files import Sample, SampleColumn
from contrail.config.names import literal, quoted
from contrail.config.table_spec import ColumnType
from contrail.operations.scaffold.features import Made
from contrail.operations.scaffold.known import Known
from contrail.operations.scaffold.roles import Roles
from contrail.operations.scaffold.rules import Rule, rules_of
from contrail.operations.scaffold.windows import Windows

ASKED, OUTCOMES = "asked", "outcomes"
_LONGEST_LIST = 60
_EVENING, _END_OF_DAY = "INTERVAL 6 HOURS", "INTERVAL '23 hours 59 minutes'"


@dataclass(frozen=True)
class Column:
    """A column of a landed table, and the SQL that makes it of the relation ``sample``."""

    name: str
    type: ColumnType
    doc: str
    sql: str
    required: bool = True
    personal: bool = False


@dataclass(frozen=True)
class Table:
    """A landed table. ``by`` is the column that tells the day whose file a row is in; empty for a reference table."""

    name: str
    doc: str
    key: tuple[str, ...]
    known_at: str
    why: str
    by: str
    columns: tuple[Column, ...]
    where: str
    known_ahead: bool = False
    may_be_empty: bool = False
    sample: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Plan:
    """All that the files of a new pipeline say."""

    name: str
    sample: Sample
    roles: Roles
    known: Known
    zone: str
    tables: tuple[Table, ...]
    layout: "Layout"
    samples: tuple[Sample, ...]
    features: Made
    windows: Windows
    labelled: int
    delay: int

    @property
    def asked(self) -> Table:
        """The table of the rows to predict."""
        return self.tables[0]

    @property
    def outcomes(self) -> Table:
        """The table of their outcomes."""
        return self.tables[1]

    @property
    def label_sql(self) -> str:
        """The label's expression in the spec."""
        own = self.roles.label.name
        return own if self.roles.positive is None else f"{own} = {literal(self.roles.positive)}"


@dataclass(frozen=True)
class Layout:
    """The columns of asked rows and outcomes that depend on what rows are: their day, their key, when they are known."""

    day: Column
    time: tuple[Column, ...]
    known_ahead: Column
    known: Column
    key: tuple[str, ...]


def layout_of(sample: Sample, roles: Roles) -> Layout:
    """Lay out days and instants, as ``planned`` or ``events``."""
    names = {column.name for column in sample.columns}
    return _planned(names, roles) if roles.rows == "planned" else _events(names, roles)


def _planned(names: set[str], roles: Roles) -> Layout:
    time, own = roles.time, quoted(roles.time.name)
    if time.type == "date":
        day = Column(time.name, "date", f"{time.given}: the day that is predicted.", own)
        clock: tuple[Column, ...] = ()
        known = f"{own} + {_END_OF_DAY}"
        doc = "The end of the day, 23:59: when the outcome is taken as known."
    else:
        local = f"timezone(getvariable('zone'), {own})"
        day = Column(_free(f"{time.name}_date", names), "date", f"Local date of {time.given}.", f"{local}::DATE")
        words = "Local hour, 0 to 23." if roles.clock == "hour" else "Minutes since the local midnight."
        sql = f"hour({local})" if roles.clock == "hour" else f"(hour({local}) * 60 + minute({local}))"
        clock = (Column(_free(roles.clock, names), "int", words, sql),)
        known = f"{local} + INTERVAL 1 HOUR"
        doc = "An hour after it begins: when the outcome is taken as known."
    ahead = Column(
        _free("announced_at", names),
        "timestamp",
        "18:00 on the evening before: when the row is taken as known.",
        _instant(f"{day.sql} - {_EVENING}"),
    )
    return Layout(
        day,
        clock,
        ahead,
        _outcome_known(names, roles, known, doc),
        (day.name, *(c.name for c in clock), *roles.dims),
    )


def _events(names: set[str], roles: Roles) -> Layout:
    time, own = roles.time, quoted(roles.time.name)
    local = own if time.type == "date" else f"timezone(getvariable('zone'), {own})::DATE"
    sql = f"({local} + 1)"
    day = Column(
        _free("asked_on", names),
        "date",
        f"The day at whose cut-off it is predicted: after {time.given}.",
        sql,
    )
    happened = Column(time.name, time.type, f"{time.given}: when it happened.", own)
    if time.type == "date":
        doc = "The end of its day, 23:59: when the event is taken as known."
        ahead = Column(_free(f"{time.name}_end", names), "timestamp", doc, _instant(f"{own} + {_END_OF_DAY}"))
        times: tuple[Column, ...] = (happened,)
        known = f"{own} + {_END_OF_DAY}"
    else:
        ahead, times = happened, ()
        known = f"timezone(getvariable('zone'), {own})"
    doc = "LABEL_AFTER days after the event: when the outcome is taken as known."
    key = (*((time.name,) if roles.by_time else ()), *roles.dims)
    return Layout(day, times, ahead, _outcome_known(names, roles, known, doc), key)


def _outcome_known(names: set[str], roles: Roles, local: str, doc: str) -> Column:
    column = roles.known_at
    if column is None:
        after = f"{local} + to_days(getvariable('label_after'))"
        return Column(_free("outcome_known_at", names), "timestamp", doc, _instant(after))
    if column.type == "timestamp":
        return Column(column.name, "timestamp", f"{column.given}: when the outcome was known.", quoted(column.name))
    doc = f"The end of the day of {column.given}, 23:59: when the outcome was known."
    return Column(
        _free(f"{column.name}_end", names), "timestamp", doc, _instant(f"{quoted(column.name)} + {_END_OF_DAY}")
    )


def _instant(local: str) -> str:
    return f"timezone(getvariable('zone'), {local})"


def _free(name: str, taken: set[str]) -> str:
    """A name that no column has yet."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}_{count}"
    taken.add(found)
    return found


# ---- tables ----


def tables_of(sample: Sample, roles: Roles, known: Known, layout: Layout, gaps: bool) -> tuple[Table, Table]:
    """The table of rows to predict, and that of their outcomes."""
    label, dims = roles.label, [sample.column(name) for name in roles.dims]
    own = [plain(column, known.personal, required=True) for column in dims]
    ahead = [plain(column, known.personal) for column in known.ahead]
    events = roles.rows == "events"
    asked_time = [layout.day, *layout.time]
    key_time = asked_time if not events else [*(layout.time or (layout.known_ahead,))] if roles.by_time else []
    asked = Table(
        name=ASKED,
        doc=_asked_doc(roles),
        key=layout.key,
        known_at=layout.known_ahead.name,
        why=_asked_why(roles),
        by=layout.day.name,
        columns=_unique([*asked_time, *own, *ahead, layout.known_ahead]),
        where=f"{quoted(roles.time.name)} IS NOT NULL",
        known_ahead=True,
        may_be_empty=events or gaps,
        sample=sample.name,
    )
    groups = [plain(column, known.personal) for column in known.ahead if column.name in known.groups]
    later = [plain(column, known.personal) for column in known.later]
    outcome = replace(plain(label, frozenset(), required=True), doc=f"{label.given}, the outcome: {seen(label)}.")
    outcomes = Table(
        name=OUTCOMES,
        doc=f"What came of them: {label.given}, and what is known only with it.",
        key=layout.key,
        known_at=layout.known.name,
        why=_known_why(roles),
        by=layout.known.name,
        columns=_unique([*key_time, *own, *groups, *later, outcome, layout.known]),
        where=f"{quoted(roles.time.name)} IS NOT NULL AND {quoted(label.name)} IS NOT NULL AND {layout.known.sql} IS NOT NULL",
        may_be_empty=events or gaps,
        sample=sample.name,
    )
    return with_rules(asked, sample), with_rules(outcomes, sample)


def with_rules(table: Table, sample: Sample) -> Table:
    """The table with the rules of its columns that come from the sample as they are."""
    own = {column.name: column for column in sample.columns}
    profiled = [own[column.name] for column in table.columns if column.name in own]
    return replace(table, rules=tuple(rules_of(profiled, sample.rows)))


def reference_of(sample: Sample, key: str) -> Table:
    """A table that is replaced whole, from a sample with one row for each value of its key."""
    own = sample.column(key)
    columns = [plain(own, frozenset(), required=True)]
    columns += [plain(column, frozenset()) for column in sample.columns if column.name != key]
    table = Table(
        name=sample.name,
        doc=f"One row for each {own.given}; replaced whole.",
        key=(key,),
        known_at="",
        why="",
        by="",
        columns=tuple(columns),
        where=f"{quoted(key)} IS NOT NULL",
        sample=sample.name,
    )
    return with_rules(table, sample)


def plain(column: SampleColumn, personal: frozenset[str], required: bool = False) -> Column:
    """A column of the sample as it is."""
    own = column.name in personal
    doc = f"{column.given}: {'of a person' if own else seen(column)}."
    return Column(column.name, column.type, doc, quoted(column.name), required=required, personal=own)


def seen(column: SampleColumn) -> str:
    """What the sample shows of a column: its values where they are few, else their range or their number."""
    if column.type == "string":
        few = column.values and sum(map(len, column.values)) <= _LONGEST_LIST
        return ", ".join(column.values) if few else f"text, {column.distinct:,} values in the sample"
    if column.type == "bool" or not column.distinct:
        return "true or false" if column.distinct else "no value in the sample"
    return f"{column.least} to {column.most} in the sample"


def _unique(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple({column.name: column for column in columns}.values())


def _asked_doc(roles: Roles) -> str:
    if roles.rows == "planned":
        return "The rows to predict, known before their day begins."
    return "The events of the day before, which are predicted at the next cut-off."


def _asked_why(roles: Roles) -> str:
    if roles.rows == "planned":
        return "The sample does not say when a row was announced: source.py takes 18:00 on the evening before."
    return f"An event is known when it happens ({roles.time.given}), and predicted at the midnight after it."


def _known_why(roles: Roles) -> str:
    if roles.known_at:
        return f"{roles.known_at.given} is never before {roles.time.given}, and there wherever {roles.label.given} is."
    return f"No column says when {roles.label.given} was known. DECIDE: LABEL_AFTER in source.py."

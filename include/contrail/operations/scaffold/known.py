"""Which columns of a sample a model may see at the prediction, and which are known only with the outcome.

It is the question on which everything rests, and only a person can answer it. So the guess is careful: of a plan, only its
key is known ahead; of an event, what came with it is, unless it tells the outcome by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contrail.adapters.sample_files import SampleColumn
from contrail.config.names import literal, quoted
from contrail.operations.scaffold import words
from contrail.operations.scaffold.choices import Choice
from contrail.operations.scaffold.looked import Looked
from contrail.operations.scaffold.roles import Roles

_TELLS = 0.9  # share of the label's variance that a column explains by itself
_FEW = 100  # values of a column up to which it is a group
_CATEGORIES = 200
_MOST_GROUPS, _MOST_LATER = 3, 3
_ROWS_A_GROUP = 10


@dataclass(frozen=True)
class Known:
    """The columns beside label, times and key.

    Attributes:
        ahead: Known at the prediction.
        later: Known with the outcome.
        left: Left out, with the reason.
        groups: Columns by whose values past outcomes are averaged.
        personal: Columns whose values are of persons.
    """

    ahead: tuple[SampleColumn, ...]
    later: tuple[SampleColumn, ...]
    left: tuple[tuple[SampleColumn, str], ...]
    groups: tuple[str, ...]
    personal: frozenset[str]

    @property
    def later_numbers(self) -> list[SampleColumn]:
        """The first columns known later of which means can be made."""
        return [column for column in self.later if column.type in ("int", "float")][:_MOST_LATER]


def known_of(looked: Looked, roles: Roles) -> Known:
    """Say of each other column when it is known.

    Raises:
        SpecError: An option names no column.
    """
    said_ahead = {looked.named("--known-ahead", name).name for name in looked.options.known_ahead}
    said_later = {looked.named("--known-later", name).name for name in looked.options.known_later}
    taken = {roles.label.name, roles.time.name, *roles.dims, *([roles.known_at.name] if roles.known_at else [])}
    others = [column for column in looked.sample.columns if column.name not in taken]
    left, tells, ahead, later = [], {}, [], []
    for column in others:
        if column.type in ("date", "timestamp"):
            left.append((column, "a second time, which no feature uses yet"))
        elif not column.distinct:
            left.append((column, "it has no value"))
        elif column.type != "float" and column.distinct == looked.sample.rows and words.says(column.name, words.IDS):
            left.append((column, "it only numbers the rows"))
        elif column.name in said_ahead:
            ahead.append(column)
        elif column.name in said_later or roles.rows == "planned":
            later.append(column)
        elif (share := _told(looked, roles, column)) >= _TELLS:
            tells[column.given] = share
            later.append(column)
        else:
            ahead.append(column)
    _tell(looked, roles, (ahead, later), tells)
    for column, why in left:
        looked.choices.made.append(Choice("left out", column.given, why))
    personal = frozenset(column.name for column in looked.sample.columns if words.says(column.name, words.PERSONAL))
    for name in sorted(personal - {roles.label.name}):
        looked.choices.made.append(
            Choice("personal", looked.sample.column(name).given, "its name says that it is of a person")
        )
    groups = _groups(looked, roles, [column for column in ahead if column.name not in personal])
    return Known(tuple(ahead), tuple(later), tuple(left), groups, personal - {roles.label.name})


def _tell(
    looked: Looked,
    roles: Roles,
    columns: tuple[Sequence[SampleColumn], Sequence[SampleColumn]],
    tells: dict[str, float],
) -> None:
    ahead, later = (tuple(column.given for column in each) for each in columns)
    said = bool(looked.options.known_ahead or looked.options.known_later)
    if roles.rows == "planned" and later:
        why = "a plan's other columns may be known only when its day is over, so a model sees only their past"
        decide = "" if said else f"which of {', '.join(later)} are known before the day begins (--known-ahead)"
        looked.choices.made.append(Choice("known later", ", ".join(later), why, (), decide))
    if roles.rows == "events" and ahead:
        why = "they come with the event"
        all_of = f"whether all of {', '.join(ahead)} are known at the event, and none is filled in afterwards"
        decide = "" if said else f"{all_of} (--known-later)"
        looked.choices.made.append(Choice("known ahead", ", ".join(ahead), why, (), decide))
    for name, share in tells.items():
        why = f"it alone explains {share:.0%} of {roles.label.given}, as only what is filled in afterwards does"
        looked.choices.made.append(
            Choice("known later", name, why, (), f"whether {name} is known at the event (--known-ahead)")
        )


def label_number(roles: Roles) -> str:
    """SQL of the label as a number."""
    own = quoted(roles.label.name)
    if roles.positive is not None:
        return f"({own} = {literal(roles.positive)})::INT"
    return f"{own}::INT" if roles.label.type == "bool" else own


def _told(looked: Looked, roles: Roles, column: SampleColumn) -> float:
    """The share of the label's variance that a column explains: by its values, its size, or by being empty."""
    own, label = quoted(column.name), label_number(roles)
    found = [looked.one(f"corr(({own} IS NULL)::INT, {label})")[0]] if column.empty else []
    if column.type in ("int", "float"):
        found.append(looked.one(f"corr({own}, {label})")[0])
    shares = [float(str(value)) ** 2 for value in found if value is not None]
    if column.distinct <= _FEW:
        groups = f"SELECT count(*) AS n, var_pop({label}) AS v FROM {looked.sample.relation} GROUP BY {own}"
        ((within,),) = looked.connection.sql(f"SELECT sum(n * v) / sum(n) FROM ({groups})").fetchall()
        whole = looked.one(f"var_pop({label})")[0]
        if whole and within is not None:
            shares.append(1 - float(within) / float(str(whole)))
    return max((share for share in shares if share == share), default=0.0)


def _groups(looked: Looked, roles: Roles, ahead: Sequence[SampleColumn]) -> tuple[str, ...]:
    """Columns of which each value has some rows: the past of a value tells of its next row."""
    if roles.rows == "planned":
        return roles.dims
    own = [looked.sample.column(name) for name in roles.dims if roles.by_time]
    fitting = [
        column
        for column in [*own, *ahead]
        if column.type in ("string", "int")
        and column.distinct > 1
        and column.distinct * _ROWS_A_GROUP <= looked.sample.rows
        and not column.empty
    ]
    texts = [
        column
        for column in fitting
        if column.type == "string" or words.says(column.name, ("id", "nr", "code", "number"))
    ]
    return tuple(column.name for column in texts[:_MOST_GROUPS])


def is_category(column: SampleColumn) -> bool:
    """Whether a model can take a text as a category."""
    return column.type == "string" and column.distinct <= _CATEGORIES

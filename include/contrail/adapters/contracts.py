"""Contracts: the rules for rows and partitions of a table, in Great Expectations' terms.

Each pipeline has its own rules (``expectations.py``). ``checks`` judges rows by them, and the validate stage decides what
happens to a row that breaks one.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contrail.errors import SpecError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class Reference:
    """A row must have a partner in another table of the pipeline. A row with a null in ``columns`` is not checked.

    Attributes:
        columns: Columns of this table.
        table: The other table.
        to: Columns of the other table. Without them, the names are the same.
        partition: For a daily table, the column of this table that has the partner's partition. A row is not checked when
            the lake lacks that partition.
        days_back: How many partitions before the row's own its partner may lie.
        brings: Columns of the partner for the ``derived`` values of the contract.
        required: Whether a row without a partner breaks the rule. Otherwise its ``brings`` are null.

    Example:
        Each delivery belongs to a parcel of its shipping day's partition:

        >>> Reference(("ship_date", "parcel"), "parcels", partition="ship_date").partner_columns
        ('ship_date', 'parcel')
        >>> Reference(("from_depot",), "depots", to=("depot",)).partner_columns
        ('depot',)
    """

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...] = ()
    partition: str | None = None
    days_back: int = 3
    brings: tuple[str, ...] = ()
    required: bool = True

    @property
    def partner_columns(self) -> tuple[str, ...]:
        """Columns of the other table."""
        return self.to or self.columns


@dataclass(frozen=True)
class Contract:
    """The rules of one table, by name. Types, nulls, the key and knowledge time are always checked, without a rule.

    Attributes:
        rows: Expectations on single rows (``ExpectColumnValues…``, ``ExpectColumnPair…``,
            ``ExpectMulticolumn…``). They also see ``partition_date``. A null breaks no rule on one column. For
            rules on several columns, see their ``ignore_row_if``.
        references: Rows of other tables that a row refers to.
        derived: Values that rules on rows see as columns, each a SQL expression. It may use the row's columns, and
            ``<reference>.<column>`` for what a reference brings. So a rule can compare a UTC time with a local clock.
        partitions: The same kinds of expectations on a table with one row per partition. Its columns are ``rows``,
            ``bad_share``, ``null_share_<column>``, ``distinct_<column>``, ``mean_<column>``, ``known_from_hour`` and
            ``known_to_hour``. The last two are the first and last ``known_at`` by the local clock, in hours from the
            partition's midnight. They do not shift on the days on which the clock changes.
        max_bad_share: A partition with a larger share of bad rows is refused.

    Example:
        >>> import great_expectations.expectations as gxe
        >>> parcels = Contract(
        ...     rows={"weight_range": gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0, max_value=1000)},
        ...     references={"known_depot": Reference(("depot",), "depots", brings=("zone",))},
        ...     derived={"pickup_hour": "hour(timezone(known_depot.zone, pickup_at))"},
        ...     partitions={"volume": gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=10)},
        ... )
        >>> sorted(parcels.rows), parcels.max_bad_share
        (['weight_range'], 0.05)
    """

    rows: Mapping[str, "Expectation"] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    derived: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, "Expectation"] = field(default_factory=dict)
    max_bad_share: float = 0.05


def columns_of(expectations: Iterable["Expectation"]) -> list[str]:
    """List the columns that expectations use, each once."""
    return list(dict.fromkeys(name for expectation in expectations for name in named_columns(expectation)))


def named_columns(expectation: "Expectation") -> list[str]:
    """List the columns that an expectation names."""
    named = [getattr(expectation, name) for name in ("column", "column_A", "column_B") if hasattr(expectation, name)]
    return [*named, *getattr(expectation, "column_list", [])]


def check_names(where: str, named: Iterable[str], known: Sequence[str]) -> None:
    """Refuse an unknown name.

    Raises:
        SpecError: with the nearest valid name.
    """
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise SpecError(f"{where}: there is no '{name}'; {hint}")


def check_kind(name: str, rule: str, expectation: "Expectation") -> None:
    """Refuse an expectation that does not judge rows.

    Raises:
        SpecError: with the kinds of expectations that do.
    """
    from great_expectations.expectations import expectation as kinds

    row_wise = (kinds.ColumnMapExpectation, kinds.ColumnPairMapExpectation, kinds.MulticolumnMapExpectation)
    if not isinstance(expectation, row_wise):
        raise SpecError(
            f"contract of {name}, rule '{rule}': {type(expectation).__name__} judges a whole table, not each row "
            "of it. Use an ExpectColumnValues…, ExpectColumnPair… or ExpectMulticolumn… expectation."
        )


def partner_expectation(column: str, reference: Reference) -> "Expectation":
    """Make a reference into an expectation on a column that is true where a row has its partner."""
    from great_expectations.expectations import ExpectColumnValuesToBeInSet

    words = f"{', '.join(reference.columns)} must be in {reference.table} ({', '.join(reference.partner_columns)})."
    return ExpectColumnValuesToBeInSet(column=column, value_set=[True], description=words)


def bad_share_expectation(limit: float) -> "Expectation":
    """Make an expectation that at most ``limit`` of a partition's rows are bad."""
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    words = f"at most {limit:.4g} of a partition's rows may be bad."
    return ExpectColumnValuesToBeBetween(column="bad_share", max_value=limit, description=words)

"""Contracts: the rules for rows and partitions of a table, checked by Great Expectations.

Each pipeline has its own rules (``expectations.py``). The validate stage decides what happens to a row that breaks one.
"""

import difflib
import inspect
import math
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from contrail.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

_RULE = "contrail_rule"
_EXACT = 2**53  # a float holds every whole number up to it


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


@dataclass(frozen=True)
class Verdict:
    """The result of one rule. ``broken`` maps the index of each failing row to the values that were found."""

    rule: str
    words: str
    checked: int
    broken: Mapping[Any, str]


def columns_of(expectations: Iterable["Expectation"]) -> list[str]:
    """List the columns that expectations use, each once."""
    return list(dict.fromkeys(name for expectation in expectations for name in _columns_of(expectation)))


def _columns_of(expectation: "Expectation") -> list[str]:
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


class Checks:
    """Great Expectations for one run: evaluates rules on frames and remembers the results for the data docs."""

    @cached_property
    def _context(self) -> Any:
        import great_expectations as gx  # takes seconds, so only when a contract is checked
        from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

        # For its default site, each context would leave a folder behind in /tmp.
        stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        config = DataContextConfig(store_backend_defaults=stores, progress_bars={"globally": False})
        return gx.get_context(mode="ephemeral", project_config=config)

    @cached_property
    def _source(self) -> Any:
        return self._context.data_sources.add_pandas("landed")

    def evaluate(self, name: str, rows: pa.Table, rules: Mapping[str, "Expectation"], index: str) -> list[Verdict]:
        """Check all rules on a frame in one validation.

        Args:
            name: Name of the validation in the data docs, unique within the run.
            rows: The rows to check.
            rules: Name of each rule and its expectation.
            index: The column of ``rows`` that tells them apart.

        Raises:
            SpecError: for a rule that cannot be evaluated, with its name and Great Expectations' message.
        """
        if not rules or not rows.num_rows:
            return []
        import great_expectations as gx

        for rule, expectation in rules.items():
            _check_kind(name, rule, expectation)
        named = [expectation.copy(update={"meta": {_RULE: rule}}) for rule, expectation in rules.items()]
        suite = self._context.suites.add(gx.ExpectationSuite(name=name, expectations=named))
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("range")
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        results = self._context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": _frame(rows, _compared(rules.values()))},
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [index]},
        )
        verdicts = {verdict.rule: verdict for verdict in (_verdict(name, each, index) for each in results.results)}
        return [verdicts[rule] for rule in rules]

    def write_site(self, folder: Path) -> Path:
        """Write Great Expectations' own HTML site of this run's validations, and return its first page."""
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
        self._context.add_data_docs_site("contrail", site)
        self._context.build_data_docs(["contrail"])
        return folder / "index.html"


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


def _compared(expectations: Iterable["Expectation"]) -> set[str]:
    """The columns of rules on several columns."""
    return {name for each in expectations if len(names := _columns_of(each)) > 1 for name in names}


def _frame(rows: pa.Table, compared: Collection[str] = ()) -> "pd.DataFrame":
    """Convert to pandas with Arrow's strings. Object columns made a year's checks three times slower.

    Only columns that pandas would change, or cannot compare, hold objects: whole numbers that a float would round, and
    nulls that a rule compares with another column.
    """
    import pandas as pd

    types = {pa.string(): pd.ArrowDtype(pa.string()), pa.bool_(): pd.BooleanDtype()}
    frame = rows.to_pandas(types_mapper=types.get, date_as_object=False)
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        ambiguous = name in compared and column.null_count and column.type in types
        if ambiguous or (pa.types.is_integer(column.type) and not _fits_float(column)):
            values = [math.nan if value is None else value for value in column.to_pylist()]
            frame[name] = pd.Series(values, frame.index, object)
    return frame


def _fits_float(column: pa.ChunkedArray) -> bool:
    """Whether Great Expectations, whose bounds are floats, can compare whole numbers without rounding one."""
    ends = pc.min_max(column).as_py()
    return not column.null_count and (ends["min"] or 0) >= -_EXACT and (ends["max"] or 0) <= _EXACT


def _check_kind(name: str, rule: str, expectation: "Expectation") -> None:
    from great_expectations.expectations import expectation as kinds

    row_wise = (kinds.ColumnMapExpectation, kinds.ColumnPairMapExpectation, kinds.MulticolumnMapExpectation)
    if not isinstance(expectation, row_wise):
        raise SpecError(
            f"contract of {name}, rule '{rule}': {type(expectation).__name__} judges a whole table, not each row "
            "of it. Use an ExpectColumnValues…, ExpectColumnPair… or ExpectMulticolumn… expectation."
        )


def _verdict(name: str, result: Any, index: str) -> Verdict:
    rule = result.expectation_config.meta[_RULE]
    if error := _exception(result.exception_info):
        raise SpecError(f"contract of {name}, rule '{rule}' cannot be evaluated: {error}")
    rows = result.result.get("unexpected_index_list") or []
    return Verdict(rule, _words(result), result.result.get("element_count", 0), _found(rows, index))


def _exception(info: Mapping[str, Any] | None) -> str | None:
    """Find an exception. Great Expectations nests the exceptions of metrics under their ids."""
    for each in [info or {}, *(value for value in (info or {}).values() if isinstance(value, Mapping))]:
        if each.get("raised_exception"):
            return str(each.get("exception_message"))
    return None


def _found(rows: Sequence[Mapping[str, Any]], index: str) -> dict[Any, str]:
    return {
        _plain(row[index]): ", ".join(f"{name}={_plain(value)}" for name, value in row.items() if name != index)
        for row in rows
    }


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    # Any text of up to 15 digits comes back as it stands in the file.
    return float(f"{plain:.15g}") if isinstance(plain, float) else plain


def _words(result: Any) -> str:
    """Return the rule in Great Expectations' words."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    rendered = InlineRenderer(render_object=result.expectation_config).get_rendered_content()[0].value
    values = {name: parameter["value"] for name, parameter in (rendered.params or {}).items()}
    return inspect.cleandoc(string.Template(rendered.template).safe_substitute(values))

"""The check of rows by contracts: DuckDB clears the rows that certainly keep a rule, Great Expectations judges the others.

Rows stay in DuckDB. Those that are not cleared reach Great Expectations a batch at a time, as pandas frames. Its results
are those of one validation of all rows, and its data docs show them.
"""

import inspect
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from contrail.adapters.clearance import Clearance, clearance, is_row_wise
from contrail.adapters.contracts import check_kind, named_columns
from contrail.adapters.frames import Frames
from contrail.adapters.judged_rows import Rows
from contrail.errors import SpecError

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

_RULE = "contrail_rule"
_BATCH = 50_000  # rows that pandas holds at a time
_LISTED = 10_000  # rows that the data docs list of one rule; they count all
_SHOWN = 10
_SOURCE = "landed"


@dataclass(frozen=True)
class Verdict:
    """The result of one rule: of the ``checked`` rows, how many are ``broken``, and what the first of them have."""

    rule: str
    words: str
    checked: int
    broken: int
    examples: Mapping[Any, str] = field(default_factory=dict)


# Called with a rule's place among the rules, the rule, its words, and the values of some rows that break it, by index.
Broken = Callable[[int, str, str, Mapping[Any, str]], object]


@dataclass
class _Tally:
    """What is known of one rule: its conditions in DuckDB, and what Great Expectations found in the batches so far."""

    order: int
    rule: str
    expectation: Any
    cleared: Clearance | None
    words: str = ""
    uncleared: int = 0
    counted: int = 0
    unexpected: int = 0
    values: list[Any] = field(default_factory=list)
    indexes: list[Any] = field(default_factory=list)
    examples: dict[Any, str] = field(default_factory=dict)
    own: Any = None  # Great Expectations' result, where it judged all rows at once

    def take(self, result: Any) -> None:
        """Add the result of a batch."""
        found = result.result
        self.unexpected += found.get("unexpected_count") or 0
        if self.cleared is None:
            self.counted += found.get("element_count", 0) - (found.get("missing_count") or 0)
        room = _LISTED - len(self.indexes)
        self.values += (found.get("unexpected_list") or [])[:room]
        self.indexes += (found.get("unexpected_index_list") or [])[:room]


class Checks:
    """Great Expectations for one run: judges rows by rules, and remembers the results for the data docs."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

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
        return self._context.data_sources.add_pandas(_SOURCE)

    def evaluate(
        self,
        name: str,
        rows: Rows,
        rules: Mapping[str, "Expectation"],
        broken: Broken = lambda *_: None,
        shown: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Verdict]:
        """Check all rules on all rows, as one validation.

        Args:
            name: Name of the validation in the data docs, unique within the run.
            rows: The rows to check.
            rules: Name of each rule and its expectation.
            broken: Takes the rows that break a rule, a batch at a time.
            shown: For some rules, the columns to show of a row instead of the rule's own.

        Raises:
            SpecError: for a rule that cannot be evaluated, with its name and Great Expectations' message.
        """
        if not rules:
            return []
        for rule, expectation in rules.items():
            check_kind(name, rule, expectation)
        suite, tallies = self._suite(name, rules, rows)
        total, frames = _count(rows, tallies)
        if not total:
            return []
        self._context.suites.add(suite)
        for group, where, size in _groups(tallies):
            for batch in rows.batches(where, size):
                results = _judged(self._batches(name), name, group, frames.of(batch), rows.index)
                for tally, result in zip(group, results, strict=True):
                    _take(tally, result, batch, rows.index, broken, (shown or {}).get(tally.rule, ()))
                    if size is None and tally.cleared is None:
                        tally.own = result
        self._remember(suite, [_result(tally, total, rows.index) for tally in tallies])
        return [Verdict(each.rule, each.words, total, each.unexpected, each.examples) for each in tallies]

    def _batches(self, name: str) -> Any:
        """What makes frames into batches of a validation."""
        if name not in self._made:
            asset = self._source.add_dataframe_asset(name)
            self._made[name] = asset.add_batch_definition_whole_dataframe("range")
        return self._made[name]

    def _suite(self, name: str, rules: Mapping[str, "Expectation"], rows: Rows) -> tuple[Any, list[_Tally]]:
        import great_expectations as gx

        named = [expectation.copy(update={"meta": {_RULE: rule}}) for rule, expectation in rules.items()]
        tallies = [
            _Tally(order, rule, expectation, clearance(expectation, rows.relation, rows.types), _words(expectation))
            for order, (rule, expectation) in enumerate(zip(rules, named, strict=True))
        ]
        return gx.ExpectationSuite(name=name, expectations=named), tallies

    def _remember(self, suite: Any, results: Sequence[Any]) -> None:
        """Keep the results as those of one validation, as Great Expectations keeps its own."""
        from great_expectations import __version__
        from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.data_context.types import resource_identifiers as keys
        from great_expectations.validator.validator import calc_validation_statistics

        found = calc_validation_statistics(results)
        run = RunIdentifier(run_time=datetime.now(UTC))
        validation = ExpectationSuiteValidationResult(
            results=list(results),
            success=found.success,
            suite_name=suite.name,
            statistics={
                "evaluated_expectations": found.evaluated_expectations,
                "successful_expectations": found.successful_expectations,
                "unsuccessful_expectations": found.unsuccessful_expectations,
                "success_percent": found.success_percent,
            },
            meta={
                "great_expectations_version": __version__,
                "batch_spec": {"batch_data": "DuckDB"},
                "batch_markers": {"ge_load_time": f"{run.run_time:%Y%m%dT%H%M%S.%fZ}"},
                "active_batch_definition": {
                    "datasource_name": _SOURCE,
                    "data_connector_name": "fluent",
                    "data_asset_name": suite.name,
                    "batch_identifiers": {},
                },
                "run_id": run,
                "validation_time": run.run_time,
            },
            batch_id=f"{_SOURCE}-{suite.name}",
        )
        of_suite = keys.ExpectationSuiteIdentifier(name=suite.name)
        key = keys.ValidationResultIdentifier(of_suite, run, f"{_SOURCE}-{suite.name}")
        self._context.validation_results_store.store_validation_results(validation, key, of_suite)

    def write_site(self, folder: Path) -> Path:
        """Write Great Expectations' own HTML site of this run's validations, and return its first page."""
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
        self._context.add_data_docs_site("contrail", site)
        self._context.build_data_docs(["contrail"])
        return folder / "index.html"


def _count(rows: Rows, tallies: Iterable[_Tally]) -> tuple[int, Frames]:
    """Count all rows, and for each rule those that it counts and those that are not cleared, in one pass."""
    cleared = [tally for tally in tallies if tally.cleared]
    compared = {column for each in tallies if len(named := named_columns(each.expectation)) > 1 for column in named}
    frames = Frames(rows.types, compared)
    figures = ["count(*)", *frames.figures]
    for each in cleared:
        assert each.cleared
        figures.append(f"count(*) FILTER (WHERE {each.cleared.counts})")
        figures.append(f"count(*) FILTER (WHERE NOT coalesce(({each.cleared.keeps}), false))")
    total, *found = rows.ask(figures)
    own, counts = found[: len(frames.figures)], found[len(frames.figures) :]
    for tally, counted, uncleared in zip(cleared, counts[::2], counts[1::2], strict=True):
        tally.counted, tally.uncleared = counted, uncleared
    return total, frames.seen(total, own)


def _groups(tallies: Iterable[_Tally]) -> Iterator[tuple[list[_Tally], str, int | None]]:
    """The rules that are judged together: which rows, and at most how many at a time."""
    open_ones = [tally for tally in tallies if tally.cleared is None or tally.uncleared]
    single = [each for each in open_ones if each.cleared and not each.cleared.together]
    uncleared = " OR ".join(_uncleared(each) for each in single)
    row_wise = [each for each in open_ones if each.cleared is None and is_row_wise(each.expectation)]
    whole = [each for each in open_ones if each.cleared is None and not is_row_wise(each.expectation)]
    yield from [(single, uncleared, _BATCH)] if single else []
    yield from [(row_wise, "true", _BATCH)] if row_wise else []
    yield from (([each], _uncleared(each), None) for each in open_ones if each.cleared and each.cleared.together)
    yield from [(whole, "true", None)] if whole else []


def _uncleared(tally: _Tally) -> str:
    assert tally.cleared
    return f"NOT coalesce(({tally.cleared.keeps}), false)"


def _judged(batches: Any, name: str, group: Sequence[_Tally], frame: Any, index: str) -> list[Any]:
    """Great Expectations' own results of some rules on some rows."""
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name, expectations=[each.expectation.copy(update={"id": None}) for each in group])
    batch = batches.get_batch({"dataframe": frame})
    results = {
        each.expectation_config.meta[_RULE]: each
        for each in batch.validate(suite, result_format=_format(index)).results
    }
    for each in group:
        if error := _exception(results[each.rule].exception_info):
            raise SpecError(f"contract of {name}, rule '{each.rule}' cannot be evaluated: {error}")
    return [results[each.rule] for each in group]


def _format(index: str) -> dict[str, Any]:
    """The query would name rows by their place in a frame that is gone when people read it."""
    return {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": [index],
        "return_unexpected_index_query": False,
    }


def _take(tally: _Tally, result: Any, batch: pa.Table, index: str, broken: Broken, shown: Sequence[str]) -> None:
    tally.take(result)
    found = _found(result.result.get("unexpected_index_list") or [], index)
    if not found:
        return
    if shown:
        rows = batch.select([index, *shown]).to_pylist()
        own = {row[index]: ", ".join(f"{name}={row[name]}" for name in shown) for row in rows}
        found = {row: own[row] for row in found}
    for row in list(found)[: _SHOWN - len(tally.examples)]:
        tally.examples[row] = found[row]
    broken(tally.order, tally.rule, tally.words, found)


def _result(tally: _Tally, total: int, index: str) -> Any:
    """The result of a rule on all rows, made by Great Expectations from the counts of all batches."""
    if tally.own is not None:
        return tally.own
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    metric = tally.expectation.map_metric
    metrics = {
        "table.row_count": total,
        "column_values.nonnull.unexpected_count": total - tally.counted,
        f"{metric}.filtered_row_count": tally.counted,
        f"{metric}.unexpected_count": tally.unexpected,
        f"{metric}.unexpected_values": tally.values,
        f"{metric}.unexpected_index_list": tally.indexes,
    }
    found = tally.expectation._validate(metrics, {"result_format": _format(index)})
    return ExpectationValidationResult(**found, expectation_config=tally.expectation.configuration)


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


def _words(expectation: Any) -> str:
    """Return the rule in Great Expectations' words."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    rendered = InlineRenderer(render_object=expectation.configuration).get_rendered_content()[0].value
    values = {name: parameter["value"] for name, parameter in (rendered.params or {}).items()}
    return inspect.cleandoc(string.Template(rendered.template).safe_substitute(values))

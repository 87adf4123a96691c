"""Which rules look at personal columns, so that the values that broke them are of persons and not for pages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from contrail.adapters.checks import Verdict
from contrail.adapters.contracts import Contract, columns_of
from contrail.config.personal import MASK
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import TableSpec
from contrail.reports.contracts import TableReport


def unquoted(contract: Contract, source: TableSpec, verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return the verdicts without values of persons."""
    return [
        replace(one, examples=dict.fromkeys(one.examples, MASK)) if _is_personal(contract, source, one) else one
        for one in verdicts
    ]


def quotes_persons(spec: PipelineSpec, contracts: Mapping[str, Contract], reports: Sequence[TableReport]) -> bool:
    """Say whether a broken rule looks at a personal column. Great Expectations' own pages would quote the values."""
    return any(
        verdict.broken and _is_personal(contracts[report.table], spec.tables[report.table], verdict)
        for report in reports
        for verdict in report.verdicts
    )


def _is_personal(contract: Contract, source: TableSpec, verdict: Verdict) -> bool:
    reference, rule = contract.references.get(verdict.rule), contract.rows.get(verdict.rule)
    named = reference.columns if reference else columns_of([rule]) if rule else ()
    return not source.personal.isdisjoint(named)

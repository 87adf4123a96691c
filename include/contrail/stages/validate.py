"""Validate: ``raw_<table>`` into typed rows that keep their contract, with bad rows in ``quarantine``.

Good rows pass while the share of bad ones stays under the contract's limit. Otherwise the partition is refused. The
rules of every table are in ``contrail.methods.table_check``, a pipeline's own in its ``expectations.py``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from contrail.adapters.checks import Checks
from contrail.adapters.contracts import Contract, bad_share_expectation, columns_of, partner_expectation
from contrail.adapters.judged_rows import Rows
from contrail.config.names import literal, quoted
from contrail.errors import PartitionRefusedError
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.methods.table_check import ROW
from contrail.partitions import Partitions
from contrail.reports.contracts import TableReport, write_report
from contrail.stages.base import StageRun, result_of
from contrail.stages.options import ValidateOptions as Options
from contrail.stages.refusals import Refusal, counted, describe, publish_refusals, reference_partition, refused_by
from contrail.stages.results import StageResult, ValidateDetails
from contrail.stages.staleness import REACH
from contrail.stages.validation.contracts import contracts_of, table_order
from contrail.stages.validation.opened import Mend, Table, opened
from contrail.stages.validation.personal import quotes_persons, unquoted
from contrail.stages.validation.references import is_current, partner_sql, partners_of, view_partners
from contrail.stages.validation.unusual import Profiles, find_unusual, publish_profiles, refusals_of

_REPORTS_KEPT = 50
_BAD_SHARE = "bad_share"


@dataclass(frozen=True)
class _Outcome:
    """What was published of a table, and what was not."""

    report: TableReport
    snapshot: int | None = None
    refusals: Sequence[Refusal] = ()


def execute(run: StageRun[Options]) -> StageResult[ValidateDetails]:
    """Validate every table of the range, as one job; reference tables first.

    Bad rows go to ``quarantine``. Partitions that broke their contract go to ``refusals``, and keep what was published
    before. All others are published.

    Raises:
        MissingInputError: if a table was never ingested.
        PartitionRefusedError: naming each refused partition with its rule, after everything else was published.
    """
    contracts = contracts_of(run.pipeline)
    checks, profiles = Checks(), Profiles(run)
    outcomes = [
        _validate_table(run, name, contracts, checks, profiles) for name in table_order(run.pipeline.spec, contracts)
    ]
    found = [outcome.report for outcome in outcomes]
    shown = None if quotes_persons(run.pipeline.spec, contracts, found) else checks
    reports = write_report(run.report_folder("data_docs"), run.run_id, _title(run), found, shown, _REPORTS_KEPT)
    if refusals := [refusal for outcome in outcomes for refusal in outcome.refusals]:
        raise PartitionRefusedError(_message(run, outcomes, refusals, reports))
    return result_of(
        run,
        rows=sum(outcome.report.good for outcome in outcomes),
        quarantined=sum(outcome.report.bad for outcome in outcomes),
        snapshots={f"validated_{o.report.table}": o.snapshot for o in outcomes if o.snapshot},
        details=ValidateDetails(
            quarantined={o.report.table: o.report.bad_by_rule for o in outcomes if o.report.bad},
            unusual=tuple(f"{o.report.table} {words}" for o in outcomes for words in o.report.unusual),
        ),
        reports=reports,
    )


def _title(run: StageRun[Options]) -> str:
    return f"{run.pipeline.name}: contracts of {run.partitions}"


def _message(
    run: StageRun[Options], outcomes: Sequence[_Outcome], refusals: Sequence[Refusal], reports: Sequence[str]
) -> str:
    days = Partitions(min(r.partition for r in refusals), max(r.partition for r in refusals))
    good = sum(outcome.report.good for outcome in outcomes)
    pipeline, of_days = run.pipeline.name, f"--from {days.start} --to {days.end}"
    bad = dict.fromkeys(r.table for r in refusals if r.rule == _BAD_SHARE)
    mend = [f"  contrail quarantine -p {pipeline} --table {table} {of_days}\n" for table in bad]
    mend = ["Mend the rows, and give them to contrail replay:\n", *mend] if mend else []
    return (
        f"{counted(len({(r.table, r.partition) for r in refusals}), 'partition')} refused; all others are published "
        f"({counted(good, 'row')}).\n{describe(refusals)}\n"
        "Readers see what was published before. Each bad row is in quarantine with its file and line:\n"
        f'  contrail query -p {run.pipeline.name} "SELECT * FROM quarantine WHERE partition_date BETWEEN '
        f"'{days.start}' AND '{days.end}'\"\n"
        f"  report: {reports[0]}\n"
        f"{''.join(mend)}{'Or land' if mend else 'Land'} mended files, or change the contract in expectations.py, and run "
        "again:\n"
        f"  contrail ingest -p {pipeline} {of_days}\n"
        f"  contrail validate -p {pipeline} {of_days}"
    )


# ---- one table ----


def _validate_table(
    run: StageRun[Options], name: str, contracts: Mapping[str, Contract], checks: Checks, profiles: Profiles
) -> _Outcome:
    partitions = run.partitions_of(name)
    if partitions is None and run.pipeline.spec.tables[name].kind == "daily":
        return _Outcome(TableReport(name))
    if unjudged := _unjudged(run, name, partitions, contracts[name]):
        publish_refusals(run, name, [refusal.partition for refusal in unjudged], unjudged)
        return _Outcome(TableReport(name, refused=_words(unjudged)), refusals=unjudged)
    if partitions is None and is_current(run, name):
        run.progress(f"{name}: unchanged")
        return _Outcome(TableReport(name, unchanged=True))
    with _judged(run, name, contracts[name], checks) as table:
        table.unusual = find_unusual(run, name, partitions, table.check, profiles)
        table.refusals += refusals_of(name, table.check.source, table.unusual)
        outcome = _publish(run, table)
    report = outcome.report
    refused = f", {counted(len(outcome.refusals), 'partition')} refused" if outcome.refusals else ""
    run.progress(f"{name}: {report.good:,} good rows, {report.bad:,} in quarantine{refused}")
    for words in report.unusual:
        run.progress(f"{name}: unusual: {words}")
    return outcome


@contextmanager
def foresee(run: StageRun[Options], name: str, mend: Mend) -> Iterator[Table]:
    """A table after every rule of its rows and partitions, as it would be with further mends. Nothing is published.

    Args:
        run: Says which partitions.
        name: The landed table.
        mend: Changes the table ``mends`` of the session before the rows are judged; it may read ``landed_files``.
    """
    with _judged(run, name, contracts_of(run.pipeline)[name], Checks(), mend) as table:
        yield table


@contextmanager
def _judged(
    run: StageRun[Options], name: str, contract: Contract, checks: Checks, mend: Mend | None = None
) -> Iterator[Table]:
    with opened(run, name, contract, mend) as table:
        table.check.check_rows()
        if name == run.pipeline.spec.label.table:
            table.check.check_label(run.pipeline.spec.label.expression, run.pipeline.spec.task == "binary")
        _check_contract_rows(run, table, checks)
        _check_earlier(run, table)
        _check_partitions(run, table, checks)
        yield table


def _unjudged(run: StageRun[Options], name: str, partitions: Partitions | None, contract: Contract) -> list[Refusal]:
    """Refusals of a table whose first file was refused, or whose rows refer to a reference table without good rows."""
    days = list(partitions or [reference_partition(run)])
    if not run.lake.exists(f"raw_{name}"):
        refused = [refusal for refusal in refused_by(run.lake, "ingest", name) if refusal.partition in days]
        return [
            replace(one, rule="not_ingested", detail=f"ingest refused it: {one.rule}: {one.detail}") for one in refused
        ]
    needed = [each.table for each in contract.references.values() if not each.partition]
    absent = [table for table in needed if not run.lake.exists(f"validated_{table}")]
    words = f"its rows refer to {', '.join(absent)}, which has no good rows yet; mend that first"
    return [Refusal(day, name, "no_reference", words) for day in days] if absent else []


# ---- rows ----


def _check_contract_rows(run: StageRun[Options], table: Table, checks: Checks) -> None:
    """The contract's rules, on the rows that broke none so far."""
    contract = table.contract
    for rule, reference in contract.references.items():
        view_partners(run, table.connection, table.partitions, rule, reference)
    shown = {rule: reference.columns for rule, reference in contract.references.items()}
    named = dict.fromkeys([*(name for names in shown.values() for name in names), *columns_of(contract.rows.values())])
    columns = {name: contract.derived.get(name, f"t.{quoted(name)}") for name in named}
    judged = table.check.judge(
        columns | {rule: partner_sql(reference, rule) for rule, reference in contract.references.items()},
        partners_of(run.pipeline.spec, contract.references),
    )
    rules = {rule: partner_expectation(rule, reference) for rule, reference in contract.references.items()}

    def mark(order: int, rule: str, words: str, found: Mapping[int, str]) -> None:
        table.check.mark(order, rule, {row: f"{words} Found {values}" for row, values in found.items()})

    rows = Rows(table.connection, judged, ROW)
    table.verdicts = checks.evaluate(f"{table.name} rows", rows, {**rules, **contract.rows}, mark, shown)


def _check_earlier(run: StageRun[Options], table: Table) -> None:
    source, name = table.check.source, f"validated_{table.name}"
    if table.partitions is None or source.known_ahead:
        return  # the key of a row known ahead holds its date
    spec, start = run.pipeline.spec, table.partitions.start
    days = spec.remembered_days(table.name)
    before = Partitions(start - timedelta(days=days), start - timedelta(days=1))
    empty = datasets.validated(spec, table.name).arrow_schema().empty_table()
    published = run.lake.schema(name) if run.lake.exists(name) else empty.schema  # may lack a column that is new
    newest = table.name == spec.label.table and spec.label.counts == "newest"
    values = [column for column in source.columns if column not in (*source.key, source.known_at)] if newest else []
    may_change = [column for column in values if column in published.names]
    named = [PARTITION, *source.key, *may_change]
    if run.lake.exists(name):
        run.lake.view(table.connection, "before", name, before, named)
    else:
        table.connection.register("before", empty.select(named))
    table.check.check_earlier("before", days, may_change)


# ---- partitions ----


def _check_partitions(run: StageRun[Options], table: Table, checks: Checks) -> None:
    """The contract's rules on a profile of each partition; a partition that breaks one is refused."""
    contract = table.contract
    rules = {_BAD_SHARE: bad_share_expectation(contract.max_bad_share), **contract.partitions}
    profile = Rows(table.connection, table.check.profile(columns_of(rules.values())), "day")

    def refuse(_: int, rule: str, words: str, found: Mapping[str, str]) -> None:
        table.refusals += [_refusal(table, date.fromisoformat(day), rule, words, found[day]) for day in found]

    table.partition_verdicts = checks.evaluate(f"{table.name} partitions", profile, rules, refuse)
    missing = _missing(table)
    table.left = _not_due(run, table, missing) if run.options.leave_missing else []
    words = f"raw_{table.name} has no rows; land the file and ingest it"
    table.refusals += [Refusal(day, table.name, "missing_partition", words) for day in missing if day not in table.left]


def _missing(table: Table) -> list[date]:
    """The days of the run that have no landed rows and need some."""
    if table.partitions is None or table.check.source.may_be_empty:
        return []
    landed = set(table.check.days)
    return [day for day in table.partitions if day not in landed]


def _not_due(run: StageRun[Options], table: Table, missing: Sequence[date]) -> list[date]:
    """Those of the missing days of which nothing was ever published."""
    if not missing:
        return []
    published = run.lake.partitions(f"validated_{table.name}", Partitions(missing[0], missing[-1]))
    return [day for day in missing if day not in published]


def _refusal(table: Table, day: date, rule: str, words: str, found: str) -> Refusal:
    detail = f"{words} Found {found}"
    if rule == _BAD_SHARE:
        reasons = table.check.bad_by_rule(day)
        counts = ", ".join(f"{rule} {count}" for rule, count in reasons.items())
        detail = f"{detail} ({counts}). First: {table.check.first_bad(day)}"
    return Refusal(day, table.name, rule, detail)


# ---- publishing ----


def _publish(run: StageRun[Options], table: Table) -> _Outcome:
    """The quarantine of all partitions, then the refusals, and last the good rows, which mark their partitions as done."""
    spec = run.pipeline.spec
    days = [day for day in table.partitions or [reference_partition(run)] if day not in table.left]
    if not days:
        return _Outcome(TableReport(table.name))
    refused = sorted({refusal.partition for refusal in table.refusals})
    back = {f"validated_{each.table}": each.days_back for each in table.contract.references.values() if each.partition}
    reach = {REACH: json.dumps(back, sort_keys=True)} if back else {}
    provenance = run.provenance(table.inputs, table.name, **reach)
    by_rule, examples = table.check.bad_by_rule(), table.check.examples()
    if by_rule or _quarantined(run, table, days):
        bad = _quarantine_rows(run, table)
        run.lake.publish(datasets.quarantine(spec), bad, days, provenance, {"table_name": table.name})
    publish_refusals(run, table.name, days, table.refusals, table.inputs)
    good, rows = table.check.good_rows(refused)
    snapshot = None
    if taken := [day for day in days if day not in set(refused)]:
        publish_profiles(run, table.name, taken, table.unusual)
        whole = table.partitions is None
        snapshot = run.lake.publish(datasets.validated(spec, table.name), rows, None if whole else taken, provenance)
    return _Outcome(_report(table, good, by_rule, examples), snapshot, table.refusals)


def _quarantined(run: StageRun[Options], table: Table, days: Sequence[date]) -> bool:
    """Whether rows of these partitions are in quarantine from before. People ask for the table: it is made first."""
    if not run.lake.exists("quarantine"):
        return True
    run.lake.view(table.connection, "set_aside", "quarantine", Partitions(days[0], days[-1]), ["table_name"])
    found = table.connection.execute("SELECT 1 FROM set_aside WHERE table_name = ? LIMIT 1", [table.name])
    return bool(found.fetchall())


def _quarantine_rows(run: StageRun[Options], table: Table) -> pa.RecordBatchReader:
    moment = f"TIMESTAMPTZ '{datetime.now(UTC).isoformat()}'"
    return table.check.bad_rows(table_name=literal(table.name), run_id=literal(run.run_id), quarantined_at=moment)


def _report(
    table: Table, good: int, bad_by_rule: Mapping[str, int], examples: Mapping[str, Sequence[str]]
) -> TableReport:
    return TableReport(
        table=table.name,
        landed=table.check.landed,
        good=good,
        bad_by_rule=bad_by_rule,
        examples=examples,
        verdicts=unquoted(table.contract, table.check.source, table.verdicts),
        partition_verdicts=table.partition_verdicts,
        refused=_words(table.refusals),
        unusual=[f"{day}: {words}" for day, words in table.unusual.words.items()],
    )


def _words(refusals: Sequence[Refusal]) -> list[str]:
    return [f"{refusal.partition}: {refusal.rule}: {refusal.detail}" for refusal in refusals]

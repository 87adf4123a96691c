"""Whether the rows of a table have the rows of other tables that they refer to."""

from collections.abc import Mapping, Sequence

import duckdb

from contrail.adapters.contracts import Reference
from contrail.config.names import listed, literal, quoted
from contrail.config.spec import PipelineSpec
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.methods.table_check import Partners
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import ValidateOptions as Options
from contrail.stages.staleness import OK, Staleness


def is_current(run: StageRun[Options], name: str) -> bool:
    """Whether a reference table is what its validation would publish now, and its files are whole."""
    own = Staleness(run.pipeline, run.lake).own(run.stage, run.partitions.start, name)
    return own.state == OK and not run.lake.verify(f"validated_{name}").damages


def view_partners(
    run: StageRun[Options],
    connection: duckdb.DuckDBPyConnection,
    partitions: Partitions | None,
    rule: str,
    reference: Reference,
) -> None:
    """Make a view of the rows of the other table that this range may refer to."""
    view, name = f"partners_{rule}", f"validated_{reference.table}"
    columns = list(dict.fromkeys((*reference.partner_columns, *reference.brings)))
    if reference.partition is None or partitions is None:
        run.lake.view(connection, view, name, columns=columns)
        return
    if not run.lake.exists(name):
        connection.register(view, datasets.validated(run.pipeline.spec, reference.table).arrow_schema().empty_table())
        return
    run.lake.view(connection, view, name, partitions.reaching_back(reference.days_back), [PARTITION, *columns])


def partners_of(spec: PipelineSpec, references: Mapping[str, Reference]) -> dict[str, Partners]:
    """The partners of each rule that asks for them, or for what they bring: a struct, or true."""
    return {
        rule: _partners(each, rule, spec.tables[each.table].key)
        for rule, each in references.items()
        if each.required or each.brings
    }


def _partners(reference: Reference, rule: str, key: Sequence[str]) -> Partners:
    """Each partner once. ``key`` is the key of the other table: rows found by the whole of it are there once already."""
    by = listed(dict.fromkeys([theirs for _, theirs in _pairs(reference)]))
    brought = ", ".join(f"{literal(name)}: {quoted(name)}" for name in reference.brings)
    found = f"{{{brought}}}" if brought else "true"
    once = f"SELECT {by}, {found} AS found FROM {quoted(f'partners_{rule}')}"
    if not set(key) <= set(reference.partner_columns):
        once = f"SELECT {by}, any_value({found}) AS found FROM {quoted(f'partners_{rule}')} GROUP BY {by}"
    same = " AND ".join(f"t.{quoted(mine)} = p.{quoted(theirs)}" for mine, theirs in _pairs(reference))
    return Partners(once, same)


def partner_sql(reference: Reference, rule: str) -> str:
    """SQL that says whether a row ``t`` has its partner; null where this is unknown, or does not matter."""
    if not reference.required:
        return "NULL::BOOLEAN"
    unknown = [f"t.{quoted(name)} IS NULL" for name in reference.columns]
    if reference.partition:
        partners = quoted(f"partners_{rule}")
        unknown.append(f"t.{quoted(reference.partition)} NOT IN (SELECT DISTINCT n.{PARTITION} FROM {partners} n)")
    return f"CASE WHEN {' OR '.join(unknown)} THEN NULL ELSE t.{quoted(rule)} IS NOT NULL END"


def _pairs(reference: Reference) -> list[tuple[str, str]]:
    """Which column of a row is the same as which one of its partner."""
    columns = zip(reference.columns, reference.partner_columns, strict=True)
    return [*columns, *([(reference.partition, PARTITION)] if reference.partition else [])]

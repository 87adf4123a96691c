"""Whether the rows of a table have the rows of other tables that they refer to."""

import duckdb

from contrail.adapters.contracts import Reference
from contrail.config.names import literal, quoted
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
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


def partner_sql(reference: Reference, rule: str) -> str:
    """SQL that says whether a row ``t`` has its partner; null where this is unknown, or does not matter."""
    unknown = [f"t.{quoted(name)} IS NULL" for name in reference.columns]
    partners = quoted(f"partners_{rule}")
    if reference.partition:
        unknown.append(f"t.{quoted(reference.partition)} NOT IN (SELECT DISTINCT n.{PARTITION} FROM {partners} n)")
    if not reference.required:
        unknown.append("true")
    found = f"EXISTS (SELECT 1 FROM {partners} p WHERE {_same(reference)})"
    return f"CASE WHEN {' OR '.join(unknown)} THEN NULL ELSE {found} END"


def brought_sql(reference: Reference, rule: str) -> str:
    """SQL of a struct with what the partner of a row ``t`` brings; null without a partner."""
    values = ", ".join(f"{literal(name)}: p.{quoted(name)}" for name in reference.brings)
    return f"SELECT any_value({{{values}}}) FROM {quoted(f'partners_{rule}')} p WHERE {_same(reference)}"


def _same(reference: Reference) -> str:
    pairs = zip(reference.columns, reference.partner_columns, strict=True)
    same = [f"t.{quoted(mine)} = p.{quoted(theirs)}" for mine, theirs in pairs]
    return " AND ".join(same + ([f"p.{PARTITION} = t.{quoted(reference.partition)}"] if reference.partition else []))

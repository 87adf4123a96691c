"""Whether the rows of a table have the rows of other tables that they refer to."""

import pyarrow as pa
import pyarrow.compute as pc

from contrail.adapters.contracts import Reference, Verdict
from contrail.config.names import quoted
from contrail.lake import datasets
from contrail.lake.datasets import PARTITION
from contrail.methods.table_check import ROW
from contrail.partitions import Partitions
from contrail.stages.base import StageRun
from contrail.stages.options import ValidateOptions as Options


def partners_of(run: StageRun[Options], partitions: Partitions | None, reference: Reference) -> pa.Table:
    """The rows of the other table that this range may refer to."""
    name = f"validated_{reference.table}"
    if reference.partition is None or partitions is None:
        return run.lake.scan(name, columns=reference.partner_columns)
    within = partitions.reaching_back(reference.days_back)
    if not run.lake.exists(name):
        return datasets.validated(run.pipeline.spec, reference.table).arrow_schema().empty_table()
    return run.lake.scan(name, within, [PARTITION, *reference.partner_columns])


def partner_sql(reference: Reference, rule: str) -> str:
    """SQL that says whether a row ``t`` has its partner; null where this is unknown."""
    pairs = zip(reference.columns, reference.partner_columns, strict=True)
    same = " AND ".join(f"t.{quoted(mine)} = p.{quoted(theirs)}" for mine, theirs in pairs)
    unknown = [f"t.{quoted(name)} IS NULL" for name in reference.columns]
    partners = quoted(f"partners_{rule}")
    if reference.partition:
        own = f"t.{quoted(reference.partition)}"
        same += f" AND p.{PARTITION} = {own}"
        unknown.append(f"{own} NOT IN (SELECT DISTINCT n.{PARTITION} FROM {partners} n)")
    found = f"EXISTS (SELECT 1 FROM {partners} p WHERE {same})"
    return f"CASE WHEN {' OR '.join(unknown)} THEN NULL ELSE {found} END"


def with_values(verdict: Verdict, reference: Reference | None, rows: pa.Table) -> Verdict:
    """For a reference, show the row's own values instead of the missing partner."""
    if reference is None or not verdict.broken:
        return verdict
    wanted = pa.array(verdict.broken.keys(), pa.int64())
    found = rows.filter(pc.is_in(rows.column(ROW), wanted)).select([ROW, *reference.columns]).to_pylist()
    broken = {row[ROW]: ", ".join(f"{name}={row[name]}" for name in reference.columns) for row in found}
    return Verdict(verdict.rule, verdict.words, verdict.checked, broken)

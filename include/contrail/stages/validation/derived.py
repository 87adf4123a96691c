"""The derived values of a contract, bound to the columns that they may use before any row is read."""

from collections.abc import Sequence

from contrail.adapters.contracts import Contract
from contrail.config.names import quoted
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import SQL_TYPES, TableSpec
from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION


def check_derived(
    where: str, spec: PipelineSpec, source: TableSpec, contract: Contract, columns: Sequence[str]
) -> None:
    """Refuse a derived value that has the name of another thing, or does not fit the columns of its table.

    Raises:
        SpecError: naming the value, with DuckDB's words.
    """
    taken = {name.lower() for name in (*columns, *contract.references)}
    if doubled := [name for name in contract.derived if name.lower() in taken]:
        raise SpecError(f"{where}, derived: '{doubled[0]}' is a column or a reference; give the value another name")
    if not contract.derived:
        return
    import duckdb

    # Without external access, an expression cannot read a file while it is bound.
    with duckdb.connect(config={"enable_external_access": "false", "threads": "1"}) as connection:
        connection.execute(f"CREATE TABLE t ({_columns(spec, source, contract, columns)})")
        for name, sql in contract.derived.items():
            try:
                connection.sql(
                    f"SELECT {PARTITION}, (\n{sql}\n) FROM (SELECT *, DATE '2000-01-01' AS {PARTITION} FROM t) t"
                )
            except duckdb.Error as error:
                raise SpecError(f"{where}, derived, {name}: '{sql}' does not fit: {error}") from error


def _columns(spec: PipelineSpec, source: TableSpec, contract: Contract, columns: Sequence[str]) -> str:
    """The row's columns, and a struct for each reference that brings something."""
    own = [f"{quoted(name)} {SQL_TYPES[source.columns[name].type]}" for name in columns if name in source.columns]
    for rule, reference in contract.references.items():
        other = spec.tables[reference.table].columns
        fields = ", ".join(f"{quoted(name)} {SQL_TYPES[other[name].type]}" for name in reference.brings)
        own += [f"{quoted(rule)} STRUCT({fields})"] if fields else []
    return ", ".join(own)

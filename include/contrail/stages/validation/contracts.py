"""The contracts of a pipeline, with every name in them checked, and the order in which tables can be validated."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from contrail.adapters.contracts import Contract, check_names, columns_of
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import TableSpec
from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION
from contrail.methods.row_rules import profile_columns


def contracts_of(pipeline: Pipeline) -> dict[str, Contract]:
    """The pipeline's contracts, one for each table, with every name in them checked."""
    spec = pipeline.spec
    given: dict[str, Contract] = pipeline.function("expectations", "contracts")()
    where = f"{pipeline.folder / 'expectations.py'}"
    check_names(where, given, list(spec.tables))
    contracts = {name: given.get(name, Contract()) for name in spec.tables}
    for name, contract in contracts.items():
        _check_contract(f"{where}, {name}", spec, spec.tables[name], contract)
    return contracts


def _check_contract(where: str, spec: PipelineSpec, source: TableSpec, contract: Contract) -> None:
    columns = [*source.columns, *([PARTITION] if source.kind == "daily" else [])]
    check_names(f"{where}, rows", columns_of(contract.rows.values()), columns)
    for rule, reference in contract.references.items():
        named = [*reference.columns, *([reference.partition] if reference.partition else [])]
        check_names(f"{where}, references, {rule}", named, columns)
        check_names(f"{where}, references, {rule}", [reference.table], list(spec.tables))
        other = spec.tables[reference.table]
        check_names(f"{where}, references, {rule}, to", reference.partner_columns, list(other.columns))
        if (other.kind == "daily") != bool(reference.partition):
            raise SpecError(f"{where}, references, {rule}: partition is needed for a daily table, and for no other")
    check_names(f"{where}, partitions", columns_of(contract.partitions.values()), list(profile_columns(source)))


def table_order(spec: PipelineSpec, contracts: Mapping[str, Contract]) -> list[str]:
    """Tables after those that they refer to; otherwise reference tables first, then as the spec lists them."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in [*spec.reference_tables, *spec.daily_tables]:
        sorter.add(name, *sorted({each.table for each in contracts[name].references.values()}))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise SpecError(f"the references of the contracts go in a circle: {' → '.join(error.args[1])}") from error

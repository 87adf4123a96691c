"""The contracts of a pipeline, with every name in them checked, and the order in which tables can be validated."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from contrail.adapters import gx
from contrail.adapters.contracts import Contract, check_names, columns_of
from contrail.config.pipeline import Pipeline
from contrail.config.spec import PipelineSpec
from contrail.config.table_spec import TableSpec
from contrail.errors import SpecError
from contrail.lake.datasets import PARTITION
from contrail.methods.row_rules import profile_columns
from contrail.stages.validation.derived import check_derived

_BAD_SHARE = "bad_share"


def contracts_of(pipeline: Pipeline) -> dict[str, Contract]:
    """The pipeline's contracts, one for each table, with every name in them checked."""
    spec = pipeline.spec
    gx.load()  # before expectations.py imports it
    given: dict[str, Contract] = pipeline.function("expectations", "contracts")()
    where = f"{pipeline.folder / 'expectations.py'}"
    check_names(where, given, list(spec.tables))
    contracts = {name: given.get(name, Contract()) for name in spec.tables}
    for name, contract in contracts.items():
        _check_contract(f"{where}, {name}", spec, spec.tables[name], contract)
    return contracts


def _check_contract(where: str, spec: PipelineSpec, source: TableSpec, contract: Contract) -> None:
    columns = [*source.columns, *([PARTITION] if source.kind == "daily" else [])]
    _check_rules(where, contract, columns)
    check_names(f"{where}, rows", columns_of(contract.rows.values()), [*columns, *contract.derived])
    for rule, reference in contract.references.items():
        named = [*reference.columns, *([reference.partition] if reference.partition else [])]
        check_names(f"{where}, references, {rule}", named, columns)
        check_names(f"{where}, references, {rule}", [reference.table], list(spec.tables))
        other = spec.tables[reference.table]
        check_names(f"{where}, references, {rule}, to", reference.partner_columns, list(other.columns))
        check_names(f"{where}, references, {rule}, brings", reference.brings, list(other.columns))
        if (other.kind == "daily") != bool(reference.partition):
            raise SpecError(f"{where}, references, {rule}: partition is needed for a daily table, and for no other")
    check_derived(where, spec, source, contract, columns)
    check_names(f"{where}, partitions", columns_of(contract.partitions.values()), list(profile_columns(source)))


def _check_rules(where: str, contract: Contract, columns: Sequence[str]) -> None:
    """Refuse names of rules that one would hide another under, and a share that is none."""
    rules = [*contract.rows, *contract.references, *contract.partitions]
    if twice := next((rule for rule in rules if rules.count(rule) > 1), None):
        raise SpecError(f"{where}: the rule '{twice}' is there twice; give each rule its own name")
    if _BAD_SHARE in rules:
        raise SpecError(f"{where}: '{_BAD_SHARE}' is Contrail's own rule; set max_bad_share instead")
    if wrong := next((rule for rule in contract.references if rule in columns), None):
        raise SpecError(f"{where}, references: the rule '{wrong}' has the name of a column; call it known_{wrong}")
    if not 0 <= contract.max_bad_share <= 1:
        raise SpecError(f"{where}: max_bad_share is {contract.max_bad_share}; it is a share, 0 to 1")


def table_order(spec: PipelineSpec, contracts: Mapping[str, Contract]) -> list[str]:
    """Tables after those that they refer to; otherwise reference tables first, then as the spec lists them."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in [*spec.reference_tables, *spec.daily_tables]:
        sorter.add(name, *sorted({each.table for each in contracts[name].references.values()}))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise SpecError(f"the references of the contracts go in a circle: {' → '.join(error.args[1])}") from error

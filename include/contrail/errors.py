"""The errors that Contrail raises on purpose, and whether trying again can help.

Each message is for the person who must act: what was wrong, where, what was kept, what to do next. This module holds
the kinds of errors. Handling them does not belong here.
"""


class ContrailError(Exception):
    """Base of every error that Contrail raises on purpose.

    ``retryable`` tells an orchestrator whether the same call may pass later without a change by a person.
    ``exit_code`` is the exit status of the command line.
    """

    retryable = False
    exit_code = 1


class SpecError(ContrailError):
    """A pipeline folder or an environment file is wrong: unknown key, wrong type, missing module."""

    exit_code = 2


class SchemaError(SpecError):
    """The spec asks of a published table what its rows cannot become. A person must move the table away."""


class NoPriceError(SpecError):
    """The price table has no price for what a job uses. Its cost is unknown, not zero."""


class DataError(ContrailError):
    """The data broke a rule; the same data will break it again."""

    exit_code = 3


class FileRefusedError(DataError):
    """Contrail refused one or more landed files whole, and kept them."""


class StructureError(DataError):
    """One landed file cannot be taken as its table's. The error has the rule that the file broke, and the place."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class PartitionRefusedError(DataError):
    """One or more partitions broke a contract and were not published."""


class MissingInputError(DataError):
    """A stage needs a table, partition, file or model that does not exist yet."""


class SnapshotGoneError(MissingInputError):
    """A table has no such snapshot. It never had it, or it has expired, or the rows of a person were taken out of it."""

    def __init__(self, table: str, message: str) -> None:
        super().__init__(message)
        self.table = table


class AuditError(DataError):
    """Staged rows failed the publisher's audit; readers still see what was published before."""


class DamagedError(DataError):
    """Stored files are missing, or are not as they were written. The message has the command that makes them again."""


class GateRefusedError(ContrailError):
    """The promotion gate refused the challenger; the champion stays."""

    exit_code = 4


class BudgetError(ContrailError):
    """A job would cost more than what is left of its pipeline's monthly budget. Nothing was submitted."""

    exit_code = 5


class CommitConflictError(ContrailError):
    """Other writers kept winning the commit; the same call may pass later."""

    retryable = True
    exit_code = 75


class InputsChangedError(CommitConflictError):
    """Another run replaced what a stage had read. Nothing was published; the stage must read again."""


class EngineError(ContrailError):
    """The compute engine or a service it needs could not be reached."""

    retryable = True
    exit_code = 75

"""The provenance of a snapshot, kept in the Iceberg snapshot's summary."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "contrail."
# The publisher adds these to a provenance: the partitions that the commit replaced, those of them that hold the rows that
# they held before, what narrows the partitions, and the rows of its whole job. ``erasure`` adds the ledger, and
# ``compaction`` says what it did.
PARTITIONS, SAME, SCOPE, JOB_ROWS, LEDGER = (
    f"{PREFIX}{name}" for name in ("partitions", "same", "scope", "job_rows", "ledger")
)
COMPACTED = f"{PREFIX}compacted"
# A snapshot of ``rollback``: the rows are those of this earlier one, and the lineage goes on there.
BACK_TO = f"{PREFIX}back_to"
# Who has started the work. ``publisher.swap`` sets it where the stage did not.
PERSON = f"{PREFIX}person"
PIPELINE = "pipeline"  # the person of a run that nobody has started
_OF_THE_COMMIT = (PARTITIONS, SAME, SCOPE, JOB_ROWS, LEDGER, BACK_TO)
# What two runs of the same work differ in.
_OF_THE_RUN = ("seconds", "backfill", "person")
_TEXTS = ("run_id", "stage", "pipeline_hash", "code_revision", "lock_hash")


@dataclass(frozen=True)
class Provenance:
    """Who made a snapshot, and from what.

    ``inputs`` maps each table that was read to its snapshot id. ``extra`` has what a stage adds, for example
    ``model_version`` and ``seconds``. Its ``person`` is left out where the work says nothing else than the process.
    """

    run_id: str
    stage: str
    pipeline_hash: str
    code_revision: str
    lock_hash: str
    inputs: Mapping[str, int | None] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def person(self) -> str:
        """Who has started the work: ``login@machine``, a user of the orchestrator, or ``pipeline``. Empty: not known."""
        return self.extra.get("person", "")

    def same_work(self, other: "Provenance") -> bool:
        """Say whether another run did the same: the same stage, from the same inputs, by the same definition."""
        return self._work() == other._work()

    def _work(self) -> tuple[object, ...]:
        extra = {key: value for key, value in self.extra.items() if key not in _OF_THE_RUN}
        return self.stage, self.pipeline_hash, self.lock_hash, dict(self.inputs), extra

    def summary(self) -> dict[str, str]:
        """Return the snapshot properties: all text, with the prefix ``contrail.``."""
        values = {
            **{name: getattr(self, name) for name in _TEXTS},
            "inputs": json.dumps(dict(self.inputs), sort_keys=True),
            **self.extra,
        }
        return {PREFIX + key: value for key, value in values.items()}

    @classmethod
    def read(cls, summary: Mapping[str, str]) -> "Provenance":
        """Read the provenance from a snapshot's summary. Its texts are empty when another program made the snapshot."""
        ours = {
            key.removeprefix(PREFIX): value
            for key, value in summary.items()
            if key.startswith(PREFIX) and key not in _OF_THE_COMMIT
        }
        inputs = json.loads(ours.pop("inputs", "{}"))
        texts = {name: ours.pop(name, "") for name in _TEXTS}
        return cls(**texts, inputs=inputs, extra=ours)

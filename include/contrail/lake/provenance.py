"""What a snapshot says about its making, kept in the Iceberg snapshot's summary."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "contrail."


@dataclass(frozen=True)
class Provenance:
    """Who made a snapshot from what. ``inputs`` maps a table to the snapshot id that was read."""

    run_id: str
    stage: str
    pipeline_hash: str
    code_revision: str
    lock_hash: str
    inputs: Mapping[str, int | None] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> dict[str, str]:
        """The snapshot properties, all text, under the prefix ``contrail.``."""
        values = {
            "run_id": self.run_id,
            "stage": self.stage,
            "pipeline_hash": self.pipeline_hash,
            "code_revision": self.code_revision,
            "lock_hash": self.lock_hash,
            "inputs": json.dumps(dict(self.inputs), sort_keys=True),
            **self.extra,
        }
        return {PREFIX + key: value for key, value in values.items()}

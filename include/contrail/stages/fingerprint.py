"""What a stage's result depends on beside its inputs: its part of the spec, of the pipeline's files, of code and libraries.

A stage reads a part of each. A change elsewhere is no reason to run it again: a gate's bound changes no feature. What a
stage is known not to read is listed here. A new key of the spec counts for every stage until somebody lists it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from contrail.config.model_spec import ScoreSpec
from contrail.config.pipeline import Pipeline
from contrail.config.settings import Settings
from contrail.config.spec import PipelineSpec
from contrail.frozen import Frozen
from contrail.lake.provenance import Provenance
from contrail.revision import imports_of, locked_versions, part_of_code

MADE_OF = "made_of"

# Words for people, when and by whom things are run, and how long they are kept: no row depends on them.
_NOBODY = ("title", "description", "owner", "sensitive", "schedule", "retention", "first_partition", "last_partition")
_MODEL = ("train", "tune", "gate", "retrain")
_UNREAD: Mapping[str, tuple[str, ...]] = {
    "validate": (*_NOBODY, *_MODEL, "entities", "key", "features", "score", "drift"),
    "features": (*_NOBODY, *_MODEL, "task", "score", "drift"),
    # Features reach these through their own table.
    "score": (*_NOBODY, *_MODEL, "timezone", "cutoff", "tables", "entities", "label", "features", "drift"),
    "drift": (*_NOBODY, *_MODEL, "timezone", "cutoff", "tables", "score"),
    "performance": (*_NOBODY, *_MODEL, "timezone", "cutoff", "tables", "features", "drift"),
}
_DOCS: dict[str, Any] = {
    # How rows land reaches a stage through the raw table.
    "tables": {"__all__": {"doc": True, "landed": True, "source": True, "columns": {"__all__": {"doc", "personal"}}}},
    "features": {"columns": {"__all__": {"doc"}}},
    "score": {"late_data"},
}
# Drift reads the names of the features, not how far back they reach. Features read which outcome counts, not its label.
# Performance reads what wrong decisions cost, not how rows are scored.
_PARTS: Mapping[str, dict[str, Any]] = {
    "drift": {"features": {**_DOCS["features"], "lookback_days": True}},
    "features": {"label": {"expression"}},
    "performance": {"score": {*ScoreSpec.model_fields} - {"costs", "interval"}},
}
# The file of the pipeline that a stage runs. All other files of the folder may be its helpers.
_ENTRIES = {"validate": "expectations", "features": "features"}
_OTHER_ENTRIES = ("source", "features", "expectations")
# Rooms whose code computes rows. The rest reads, publishes, and talks to people.
_COMPUTING = (
    "contrail.methods",
    "contrail.stages.validation",
    "contrail.adapters.batches",
    "contrail.adapters.checks",
    "contrail.adapters.clearance",
    "contrail.adapters.contracts",
    "contrail.adapters.engine",
    "contrail.adapters.frames",
    "contrail.adapters.judged_rows",
    "contrail.adapters.patterns",
    "contrail.lake.labels",
    "contrail.partitions",
)


class Fingerprint(Frozen):
    """What a result was made of: a digest of each key of the spec, each file and the code, and libraries' versions."""

    spec: dict[str, str]
    files: dict[str, str]
    code: str
    libraries: dict[str, str]

    @classmethod
    def read(cls, made: Provenance) -> Self | None:
        """The fingerprint in a snapshot's provenance; None in the records from before there were any."""
        text = made.extra.get(MADE_OF)
        return cls.model_validate_json(text) if text else None

    def text(self) -> str:
        """The fingerprint as a snapshot's provenance keeps it."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def differs(self, then: Self, same_folder: bool = False) -> str:
        """What has changed since, in a person's words; empty when nothing has.

        ``same_folder`` says that the pipeline's files have not. What the spec says is then different by a default alone.
        """
        parts = []
        if keys := _changed(then.spec, self.spec):
            where = "by Contrail's defaults" if same_folder else "in pipeline.yaml"
            parts.append(f"{', '.join(keys)} {where} changed")
        if files := _changed(then.files, self.files):
            parts.append(f"{', '.join(files)} changed")
        if self.code != then.code:
            parts.append("Contrail's code of the stage changed")
        for name in _changed(then.libraries, self.libraries):
            parts.append(f"{name} {then.libraries.get(name, 'none')} → {self.libraries.get(name, 'none')}")
        return "; ".join(parts)


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]


def fingerprint(stage: str, pipeline: Pipeline, settings: Settings, table: str = "") -> Fingerprint | None:
    """What the result of a stage would be made of now; None for a stage that leaves no rows of a day.

    Args:
        stage: The stage's verb.
        pipeline: The pipeline as it is now.
        settings: Says where the lock is.
        table: The landed table that ``validate`` works on.
    """
    if stage not in _UNREAD:
        return None
    code, imported = part_of_code(f"contrail.stages.{stage}", _COMPUTING)
    locked = locked_versions(settings.project_path)
    names = {name.replace("_", "-").lower() for name in imported}
    return Fingerprint(
        spec=_spec_part(pipeline.spec, stage, table),
        files={path.name: _digest(path.read_bytes()) for path in _files(pipeline.folder, stage)},
        code=code[:12],
        libraries={name: locked[name] for name in sorted(names & locked.keys())},
    )


def _spec_part(spec: PipelineSpec, stage: str, table: str) -> dict[str, str]:
    exclude = {**_DOCS, **_PARTS.get(stage, {}), **dict.fromkeys(_UNREAD[stage], True)}
    # Without defaults: a key that nobody wrote does not change when Contrail learns it.
    values = spec.model_dump(mode="json", exclude=exclude, exclude_defaults=True)
    if table:
        values["tables"] = values["tables"][table]
        if table != spec.label.table:
            values = {key: value for key, value in values.items() if key not in ("label", "task")}
    return {key: _digest(json.dumps(value, sort_keys=True).encode()) for key, value in values.items() if value != {}}


def _files(folder: Path, stage: str) -> list[Path]:
    if stage not in _ENTRIES:
        return []
    python = {path.stem: path for path in sorted(folder.glob("*.py"))}
    chosen = {stem for stem in python if stem not in _OTHER_ENTRIES} | ({_ENTRIES[stage]} & python.keys())
    while more := {stem for stem in python.keys() - chosen if _imported(stem, (python[each] for each in chosen))}:
        chosen |= more
    others = [path for path in sorted(folder.glob("*.yaml")) if path.name != "pipeline.yaml"]
    return [*(python[stem] for stem in sorted(chosen)), *others]


def _imported(stem: str, paths: Iterable[Path]) -> bool:
    return any(stem in name.split(".") for path in paths for name in imports_of(path.read_bytes()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]

"""What a stage's result depends on: its own part of the spec, the files, the code and the libraries, and nothing else."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import TOY_PIPELINES

import contrail
from contrail.config.pipeline import Pipeline
from contrail.config.settings import settings
from contrail.config.spec import PipelineSpec, load_spec
from contrail.lake.provenance import Provenance
from contrail.stages import fingerprint as module
from contrail.stages.fingerprint import MADE_OF, Fingerprint, fingerprint

STAGES = ("validate", "features", "score", "drift", "performance")
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(toy_home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(TOY_PIPELINES / "toy", tmp_path / "toy"))


def taken(folder: Path) -> dict[str, Fingerprint]:
    """The fingerprint of each stage of the pipeline as it is now."""
    pipeline = Pipeline(folder, load_spec(folder / "pipeline.yaml"))
    found = {s: fingerprint(s, pipeline, settings(), "parcels" if s == "validate" else "") for s in STAGES}
    assert all(found.values())
    return found  # type: ignore[return-value]


def changed_by(folder: Path, change: Change) -> dict[str, str]:
    """The stages that a change of the spec concerns, each with the words for it."""
    before, path = taken(folder), folder / "pipeline.yaml"
    spec = yaml.safe_load(path.read_text())
    change(spec)
    path.write_text(yaml.safe_dump(spec))
    return {stage: why for stage, now in taken(folder).items() if (why := now.differs(before[stage]))}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        (lambda s: s["gate"].update(min_improvement=0.5), set()),
        (lambda s: s.update(title="Other", description="Words", owner="ann"), set()),
        (lambda s: s["schedule"].update(retries=5), set()),
        (lambda s: s.update(retention={"logs": 7}), set()),
        (lambda s: s["train"].update(rounds=7), set()),
        (lambda s: s["retrain"].update(cooldown_days=3), set()),
        (lambda s: s.update(sensitive=["depot"]), set()),
        (lambda s: s["features"]["columns"]["weight"].update(doc="Other words."), set()),
        (lambda s: s["tables"]["parcels"].update(doc="Other words."), set()),
        (lambda s: s.update(score={"late_data": "rescore"}), set()),
        (lambda s: s.update(last_partition="2024-04-10"), set()),
        (lambda s: s.update(score={"threshold": 0.7}), {"score"}),
        (lambda s: s["drift"].update(raise_days=2), {"drift"}),
        (lambda s: s["label"].update(expression="delay > 20"), {"drift", "performance"}),
        (lambda s: s["features"].update(lookback_days=5), {"features"}),
        (lambda s: s["features"]["columns"].pop("weight"), {"features", "drift"}),
        (lambda s: s["tables"]["deliveries"]["columns"]["delay"].update(required=False), {"features"}),
        (lambda s: s["tables"]["parcels"]["columns"]["weight"].update(required=True), {"validate", "features"}),
        (lambda s: s["label"].update(counts="first"), {"features", "drift", "performance"}),
        (lambda s: (s.update(cutoff="06:00"), s["schedule"].update(daily="0 6 * * *")), {"validate", "features"}),
    ],
)
def test_a_key_concerns_the_stages_that_read_it(folder: Path, change: Change, stages: set[str]) -> None:
    assert set(changed_by(folder, change)) == stages


def test_the_reason_names_what_is_different(folder: Path) -> None:
    found = changed_by(folder, lambda s: s["features"].update(lookback_days=5))
    assert found["features"] == "features in pipeline.yaml changed"
    before = taken(folder)["features"]
    (folder / "features.py").write_text((folder / "features.py").read_text() + "\nX = 1\n")
    assert taken(folder)["features"].differs(before) == "features.py changed"
    newer = before.model_copy(update={"libraries": {**before.libraries, "pyspark": "9.0"}})
    assert newer.differs(before) == f"pyspark {before.libraries['pyspark']} → 9.0"


def test_a_default_that_moved_is_no_change_of_the_file(folder: Path) -> None:
    """A key that the file has, equal to the default of then, counts as soon as the default is another."""
    now = taken(folder)["drift"]
    then = now.model_copy(update={"spec": {**now.spec, "drift": "written as the default was"}})
    assert now.differs(then, same_folder=True) == "drift by Contrail's defaults changed"
    assert now.differs(then) == "drift in pipeline.yaml changed"


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("features.py", {"features"}),
        ("expectations.py", {"validate"}),
        ("source.py", set()),
        ("helpers.py", {"validate", "features"}),
        ("holidays.yaml", {"validate", "features"}),
    ],
)
def test_a_file_concerns_the_stages_that_run_it(folder: Path, name: str, stages: set[str]) -> None:
    before, path = taken(folder), folder / name
    path.write_text((path.read_text() if path.exists() else "") + "\n# more\n")
    assert {stage for stage, now in taken(folder).items() if now.differs(before[stage])} == stages


def test_a_file_that_another_imports_counts_for_it(folder: Path) -> None:
    path = folder / "features.py"
    path.write_text("from pipelines.toy.source import DEPOTS\n" + path.read_text())
    before = taken(folder)
    (folder / "source.py").write_text((folder / "source.py").read_text() + "\n# more\n")
    assert {stage for stage, now in taken(folder).items() if now.differs(before[stage])} == {"features"}


def test_it_survives_the_snapshot_that_keeps_it(folder: Path) -> None:
    made = taken(folder)["score"]
    kept = Provenance.read(Provenance("r", "score", "", "", "", {}, {MADE_OF: made.text()}).summary())
    assert Fingerprint.read(kept) == made
    assert Fingerprint.read(Provenance("r", "score", "", "", "")) is None, "the records from before there were any"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_reads_what_its_list_says_that_it_does_not(stage: str) -> None:
    """The lists are true of the stages' own code. A stage that begins to read a key must leave its list."""
    package = Path(contrail.__file__).parent
    sources = [package / "stages" / f"{stage}.py", *(package / "stages" / "validation").glob("*.py")]
    code = "".join(path.read_text() for path in (sources if stage == "validate" else sources[:1]))
    unread = set(module._UNREAD[stage])
    assert unread <= set(PipelineSpec.model_fields)
    read = {key for key in unread if re.search(rf"spec\.{key}\b", code)}
    # Where a partition or a table lies, and a report's title, are no content of its rows.
    assert read <= {"first_partition", "last_partition", "entities", "tables", "title"}, read

"""The entry to a stage by its verb."""

from dataclasses import replace

import pytest
from tests.conftest import Toy
from tests.toy_tables import publish_toy

from contrail.errors import SchemaError, SnapshotGoneError, SpecError
from contrail.lake import history, publisher
from contrail.lake.provenance import LEDGER, PARTITIONS
from contrail.lake.records import all_datasets
from contrail.partitions import Partitions
from contrail.stages import VERBS, runner
from contrail.stages.base import StageRun
from contrail.stages.options import StageOptions
from contrail.stages.runner import run_stage
from contrail.stages.tables import tables_of


@pytest.mark.parametrize(
    ("verb", "words"),
    [("zzz", "stages: ingest, validate"), ("trian", "did you mean 'train'?"), ("rollback-model", "there is no stage")],
)
def test_a_verb_that_is_no_stage_names_the_nearest(toy: Toy, verb: str, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        run_stage(verb, "toy", Partitions.parse("2024-01-05"))
    assert words in str(raised.value)


def test_a_spec_that_a_table_cannot_follow_is_refused_before_any_work(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-02")
    columns = {**toy.spec.features.columns}
    columns["weight"] = columns["weight"].model_copy(update={"kind": "category"})
    features = toy.spec.features.model_copy(update={"columns": columns})
    changed = replace(toy.pipeline, spec=toy.spec.model_copy(update={"features": features}))
    monkeypatch.setattr(runner, "load_pipeline", lambda _: changed)
    monkeypatch.setattr("contrail.stages.features.execute", lambda _: pytest.fail("the work began"))
    with pytest.raises(SchemaError, match="weight: float in the table, string in the spec") as refused:
        toy.run("features", "2024-01-01")
    assert "contrail move-away features -p toy" in str(refused.value)


def test_a_stage_knows_its_tables_of_the_lake(toy: Toy) -> None:
    used = {dataset.name for verb in VERBS for dataset in tables_of(verb, toy.spec)}
    # A correction's report, the governor and a forgetting have no verb of the chain.
    written = {"corrections", "governor", "forgotten", "forgotten_marks"}
    assert used == set(all_datasets(toy.spec)) - written


def test_a_stage_whose_snapshot_went_with_a_persons_rows_reads_again(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_toy(toy, "2024-01-01", "2024-01-02")
    first = toy.lake.snapshot_id("features")
    tries = []

    def execute(run: StageRun[StageOptions]) -> None:
        tries.append(run)
        if len(tries) == 1:
            table = toy.lake.table("features")
            summary = {PARTITIONS: "", LEDGER: history.ledger_of(table, 1)}
            publisher.swap(table, [], [], summary, expired=[first])
        toy.lake.scan("features", snapshot_id=first)

    monkeypatch.setattr("contrail.stages.features.execute", execute)
    with pytest.raises(SnapshotGoneError, match="has no snapshot"):
        toy.run("features", "2024-01-01")
    assert len(tries) == 2, "what went before this run began is no reason to try again"


def test_a_snapshot_has_the_person_whom_the_stage_was_told(toy: Toy) -> None:
    days = Partitions.parse("2024-01-01")
    assert runner.make_run("promote", "toy", days, options={"person": "eve"}).provenance({}).person == "eve"
    assert runner.make_run("score", "toy", days).provenance({}).person == "", "the publisher adds who runs the process"

import json
from datetime import UTC, date, datetime

import pytest
from tests.toy_tables import untrained
from tests.unit.stages.test_tune import ONE, WINDOW

from contrail.adapters import registry, training_runs
from contrail.adapters.mlflow_store import client
from contrail.errors import EngineError
from contrail.methods.decision_record import REQUEST
from contrail.methods.study import StudyRecord
from contrail.operations import tune as operation
from contrail.operations.tune import own_names, tune, why
from contrail.partitions import Partitions
from contrail.stages.details import TuneDetails
from contrail.stages.options import TuneOptions
from contrail.stages.results import StageResult
from contrail.stages.tuning.records import StudyFolder, study_lock

# Few rounds, so that a larger eta than today's is better for sure.
FEW = {**ONE, "rounds": 2}
OPTIONS = TuneOptions(params=FEW, workers=1, trials=4, person="ada", reason="the yearly search")


@pytest.fixture
def ready(prepared):
    return prepared(untrained)


def details(**changed) -> TuneDetails:
    found = {
        "model_name": "toy", "study": "S", "trials": 4, "wanted": 4, "stopped": 0, "best": 2, "params": {"lambda": 3.0},
        "metric": "log_loss", "value": 0.5, "today": 0.6, "gain": (0.1, 0.05, 0.15), "mlflow_run": "R",
    }  # fmt: skip
    return TuneDetails.model_validate({**found, **changed})


def searched(monkeypatch, found: TuneDetails) -> list[str]:
    """The stages that run, where the search has found this."""
    ran: list[str] = []

    def run(verb, pipeline, partitions, **_):
        ran.append(verb)
        return StageResult(stage=verb, pipeline=pipeline, partitions=str(partitions), run_id="x", details=found)

    monkeypatch.setattr(operation, "run_stage", run)
    return ran


def test_the_best_trial_is_trained_as_a_candidate_whose_record_names_the_study_and_only_once(ready):
    days = Partitions.parse(*WINDOW)
    found = tune("toy", days, OPTIONS)
    assert found.details.best
    assert found.details.model_version == "1"
    entry = registry.describe_version(ready.settings, "toy", "1")
    assert entry.tags["status"] == "candidate"
    request = json.loads(entry.tags[REQUEST])
    assert request["person"] == "ada"
    assert request["reason"] == f"the yearly search; {why(found.details)}"
    assert request["parameters"] == {**FEW, **found.details.params}
    card = registry.resolve(ready.settings, "toy", "1").package.card
    assert {name: card.training.params[name] for name in found.details.params} == found.details.params
    # Upkeep keeps the parent of a registered run, so the study of a version stays.
    run = client(ready.settings).get_run(entry.run_id)
    assert run.data.tags[training_runs.PARENT] == found.details.mlflow_run

    again = tune("toy", days, OPTIONS)
    assert again.unchanged
    assert again.details.model_version == "1"
    assert registry.describe_version(ready.settings, "toy", "latest").version == "1"
    page = (ready.settings.reports / "toy" / "tuning" / f"{found.details.study}.html").read_text()
    assert "version 1, with the parameters of trial" in page

    # Killed between the training and the record that names it, the next call finds the version in the registry.
    folder = StudyFolder(ready.settings, "toy", found.details.study)
    folder.keep_study(folder.study().model_copy(update={"trained": None, "candidate": None}))
    third = tune("toy", days, OPTIONS)
    assert third.details.model_version == "1"
    assert folder.study().candidate == "1"
    assert "version 1, with the parameters of trial" in folder.page.read_text()
    assert registry.describe_version(ready.settings, "toy", "latest").version == "1"


def test_a_candidate_that_another_command_has_trained_meanwhile_is_not_trained_again(toy, monkeypatch):
    stages = searched(monkeypatch, details())
    folder = StudyFolder(toy.settings, "toy", "S")
    folder.keep_study(
        StudyRecord(
            name="S", pipeline="toy", first=date(2024, 1, 1), last=date(2024, 2, 9), metric="log_loss", made_of={},
            begun_at=datetime.now(UTC), person="ada", mlflow_run="R", trained=2, candidate="7",
        )
    )  # fmt: skip
    assert tune("toy", Partitions.parse(*WINDOW), OPTIONS).details.model_version == "7"
    assert stages == ["tune"]
    with study_lock(toy.settings, "toy", "S"), pytest.raises(EngineError, match="works on the study S"):
        tune("toy", Partitions.parse(*WINDOW), OPTIONS)


@pytest.mark.parametrize(
    ("found", "options", "ran"),
    [
        (details(), OPTIONS.model_copy(update={"registered": False}), ["tune"]),
        (details(best=0, params={}), OPTIONS, ["tune"]),
        (details(model_version="7"), OPTIONS, ["tune"]),
    ],
    ids=["not-registered", "todays-are-best", "trained-before"],
)
def test_nothing_is_trained_without_a_wish_or_a_better_trial(monkeypatch, found, options, ran):
    stages = searched(monkeypatch, found)
    result = tune("toy", Partitions.parse(*WINDOW), options)
    assert stages == ran
    assert result.details == found


def test_a_parameter_keeps_the_name_that_the_pipeline_has_for_it(toy, monkeypatch):
    train = toy.spec.train.model_copy(update={"params": {"reg_lambda": 5, "eta": 0.1}})
    pipeline = type("P", (), {"spec": toy.spec.model_copy(update={"train": train})})
    monkeypatch.setattr(operation, "load_pipeline", lambda _: pipeline)
    assert own_names("toy", {"lambda": 3.0, "eta": 0.2, "gamma": 1.0}) == {"reg_lambda": 3.0, "eta": 0.2, "gamma": 1.0}

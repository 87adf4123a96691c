"""Which MLflow runs go into the trash, and out of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from contrail.adapters import mlflow_store, registry, trials
from contrail.adapters.training_runs import LoggedRun
from contrail.config.settings import Settings

LATER, EARLIER = (datetime.now(UTC) + timedelta(days=days) for days in (1, -1))


def files(current: Settings) -> list[Path]:
    return [path for path in (current.home_path / "mlflow" / "artifacts").rglob("*") if path.is_file()]


def go(current: Settings, before: datetime = LATER, named: tuple[str, ...] = ()) -> list[str]:
    found = trials.old_trials(current, "toy", before, named)
    trials.put_into_trash(current, found)
    return [one.run_id for one in found]


def empty(current: Settings, before: datetime = LATER, named: tuple[str, ...] = ()) -> list[str]:
    found = trials.trash(current, "toy", before, named)
    trials.empty_trash(current, found)
    return [one.run_id for one in found]


def test_a_trial_goes_into_the_trash_and_later_for_good(current: Settings, logged: LoggedRun) -> None:
    mlflow, before = mlflow_store.client(current), files(current)
    assert go(current, EARLIER) == []
    (found,) = trials.old_trials(current, "toy", LATER, ())
    assert (found.files, found.size) == (len(before), sum(path.stat().st_size for path in before))
    assert go(current) == [logged.run_id]
    assert files(current) == before, "a person can restore it"
    assert mlflow.get_run(logged.run_id).info.lifecycle_stage == "deleted"
    assert go(current) == [], "it is in the trash already"
    assert empty(current, EARLIER) == []
    assert empty(current) == [logged.run_id]
    assert files(current) == []
    assert list(trials.names_in(current)) == []


@pytest.mark.parametrize("named", [False, True])
def test_a_registered_run_its_parent_and_what_a_record_names_stay(
    current: Settings, logged: LoggedRun, named: bool
) -> None:
    mlflow = mlflow_store.client(current)
    parents = [mlflow.create_run("1") for _ in range(3)]
    for parent in parents:
        mlflow.set_terminated(parent.info.run_id)
    mlflow.set_tag(parents[0].info.run_id, "mlflow.parentRunId", parents[1].info.run_id)
    mlflow.set_tag(logged.run_id, "mlflow.parentRunId", parents[0].info.run_id)
    if not named:
        registry.register(current, "toy", logged, {"training_set_md5": "0" * 32}, "")
        assert "0" * 32 in list(trials.names_in(current))
    assert go(current, named=(logged.run_id,) if named else ()) == [parents[2].info.run_id]
    assert files(current)


def test_what_a_person_put_into_the_trash_is_theirs(current: Settings, logged: LoggedRun) -> None:
    mlflow_store.client(current).delete_run(logged.run_id)
    assert go(current) == empty(current) == []
    assert files(current)


def test_a_run_that_was_registered_from_the_trash_stays(current: Settings, logged: LoggedRun) -> None:
    go(current)
    registry.register(current, "toy", logged, {}, "")
    assert empty(current) == []
    assert files(current)


def test_what_else_lies_in_the_trash_stays_there(current: Settings, logged: LoggedRun) -> None:
    """MLflow's garbage collection takes everything of a kind where it is given no id of that kind."""
    mlflow = mlflow_store.client(current)
    other = mlflow.create_experiment("a scientist's")
    run = mlflow.create_run(other).info.run_id
    model = mlflow.create_logged_model(other).model_id
    mlflow.delete_logged_model(model)
    mlflow.delete_experiment(other)
    plain = mlflow.create_run(mlflow.get_experiment_by_name("toy").experiment_id).info.run_id
    mlflow.set_terminated(plain)
    trials.put_into_trash(current, [trials.Trial(plain, (), 0, 0)])
    assert empty(current) == [plain], "a trial without a model"
    assert go(current) == [logged.run_id]
    assert empty(current) == [logged.run_id]
    mlflow.restore_experiment(other)
    assert mlflow.get_run(run).info.run_id == run
    store = mlflow._tracking_client.store
    assert store.get_logged_model(model, allow_deleted=True).model_id == model
    assert {one.name for one in mlflow.search_experiments(view_type=ViewType.ALL)} == {
        "Default",
        "toy",
        "a scientist's",
    }


def test_a_collection_that_was_killed_leaves_nothing_that_stops_the_next(current: Settings, logged: LoggedRun) -> None:
    mlflow_store._stand_ins(mlflow_store.client(current))
    go(current)
    assert empty(current) == [logged.run_id]
    assert mlflow_store.client(current).get_experiment_by_name(mlflow_store._STAND_IN) is None


def test_other_pipelines_trials_and_an_empty_registry(current: Settings, logged: LoggedRun) -> None:
    assert trials.old_trials(current, "other", LATER, ()) == trials.trash(current, "other", LATER, ()) == []
    Path(current.registry.tracking_uri.removeprefix("sqlite:///")).unlink()
    assert trials.old_trials(current, "toy", LATER, ()) == trials.trash(current, "toy", LATER, ()) == []
    assert list(trials.names_in(current)) == []

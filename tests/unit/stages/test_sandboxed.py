"""A sandbox begins with the main lake's tables and models, and changes nothing of them."""

import contextlib
from pathlib import Path

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_heavier, publish_toy, skip_what_only_train_needs

from contrail.adapters import mlflow_store, registry, sandbox_models
from contrail.config.settings import enter_sandbox, settings
from contrail.errors import GateRefusedError, MissingInputError
from contrail.lake import sandbox_records, sandboxes
from contrail.lake.lake import Lake
from contrail.operations import sandboxes as operations
from contrail.partitions import Partitions
from contrail.stages import sandboxed

DAYS = Partitions.parse("2024-03-01", "2024-03-20")
LAST = Partitions(DAYS.end, DAYS.end)
GATE = ("2024-02-11", "2024-03-09")


def fill(toy: Toy) -> None:
    copy_empty_registry(toy.settings)
    publish_toy(toy, "2024-03-01", "2024-03-20")


def with_champion(toy: Toy) -> None:
    """Trained on January, champion since then, and three days are scored."""
    publish_toy(toy, "2024-01-01", "2024-03-12")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    toy.run("promote", *GATE)
    toy.run("score", "2024-03-10", "2024-03-12")


@pytest.fixture
def main(prepared: Prepare) -> Toy:
    return prepared(fill)


def inside(main: Toy, name: str = "deeper") -> Toy:
    """The toy pipeline in a sandbox, which is made if there is none of this name."""
    current = main.settings.inside(name)
    sandboxed.begin(current, main.pipeline)
    return Toy(main.pipeline, current)


_BESIDE = {"sandboxes", "locks", "turns", "tmp", "catalog.db", "mlflow.db"}


def files_of(home: Path) -> dict[str, bytes]:
    """What is in a home, but for what sandboxes own, locks, and the databases, which are compared by what they say."""
    found = {}
    for path in sorted(home.rglob("*")):
        place = path.relative_to(home)
        own = any(part.startswith("sandbox_") or part.partition("-")[0] in _BESIDE for part in place.parts)
        if path.is_file() and not own:
            found[str(place)] = path.read_bytes()
    return found


def test_a_sandbox_reads_what_the_main_lake_had_without_a_copy(main: Toy) -> None:
    own = inside(main)
    assert own.lake.table_names() == main.lake.table_names()
    for name in main.lake.table_names():
        assert own.lake.scan(name).equals(main.lake.scan(name))
        assert own.lake.snapshot_id(name) == main.lake.snapshot_id(name)
        assert own.lake.files(name) == main.lake.files(name)  # the very same
        assert [*own.lake.lineage(name).commits] == [*main.lake.lineage(name).commits]
    lake = Path(main.settings.catalog.warehouse_uri.removeprefix("file://")) / "sandbox_deeper__toy"
    assert not list(lake.rglob("*.parquet"))
    assert sandboxes.own_bytes(main.settings, "deeper") < 1e5


def test_a_publication_of_either_is_not_seen_by_the_other(main: Toy) -> None:
    own, before = inside(main), files_of(main.settings.home_path)
    snapshots = {name: main.lake.snapshot_id(name) for name in main.lake.table_names()}
    first = main.lake.scan("features")
    publish_heavier(own, "2024-03-20")
    assert files_of(main.settings.home_path) == before
    assert {name: main.lake.snapshot_id(name) for name in main.lake.table_names()} == snapshots
    assert main.lake.scan("features").equals(first)
    heavier = own.lake.scan("features")
    assert not heavier.equals(first)
    publish_heavier(main, "2024-03-19")  # afterwards
    assert own.lake.scan("features").equals(heavier)
    assert own.lake.scan("features", LAST)["weight"] != main.lake.scan("features", LAST)["weight"]
    shared = set(own.lake.files("features")) & set(main.lake.files("features"))
    assert len(shared) == len(DAYS) - 2
    record = sandbox_records.find(own.settings, "toy")
    assert record
    assert sandboxes.changed(own.lake, record) == (["features"], [])


def test_two_sandboxes_know_nothing_of_each_other(main: Toy) -> None:
    one, two = inside(main, "one"), inside(main, "two")
    publish_heavier(one, "2024-03-20")
    publish_heavier(two, "2024-03-19")
    assert one.lake.scan("features", LAST)["weight"] != two.lake.scan("features", LAST)["weight"]
    assert two.lake.scan("features", LAST).equals(main.lake.scan("features", LAST))


def test_a_sandbox_that_is_there_is_not_begun_again(main: Toy) -> None:
    own = inside(main)
    publish_heavier(own, "2024-03-20")
    heavier = own.lake.scan("features")
    assert inside(main).lake.scan("features").equals(heavier)


def test_what_a_killed_making_has_left_is_made_anew(main: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sandboxed.sandbox_models, "begin", killed)
        with pytest.raises(KeyboardInterrupt):
            inside(main)
    with pytest.raises(MissingInputError, match=r"there is no sandbox 'deeper' of pipeline 'toy'. Sandboxes: none yet"):
        Lake(main.settings.inside("deeper"), "toy").table_names()
    publish_heavier(main, "2024-03-20")  # the second making begins with what there is by then
    assert inside(main).lake.scan("features").equals(main.lake.scan("features"))


def test_commits_of_a_sandbox_remove_no_metadata_file_of_the_main_lake(main: Toy) -> None:
    own, before = inside(main), files_of(main.settings.home_path)
    for _ in range(23):  # a table keeps twenty old metadata files
        own.lake.tag("features", own.lake.snapshot_id("features") or 0, f"t{_}")
    assert files_of(main.settings.home_path) == before


# ---- models ----


@pytest.fixture
def scored(prepared: Prepare, monkeypatch: pytest.MonkeyPatch) -> Toy:
    skip_what_only_train_needs(monkeypatch)
    monkeypatch.setenv("CONTRAIL_SANDBOX", "none_yet")  # restored at the end, whatever the test sets it to
    monkeypatch.delenv("CONTRAIL_SANDBOX")
    return prepared(with_champion)


def models_of(main: Toy) -> list[object]:
    """What MLflow knows of the main lake's models, runs and aliases."""
    mlflow = mlflow_store.client(main.settings)
    versions = mlflow.search_model_versions("name = 'toy'")
    experiment = mlflow.get_experiment_by_name("toy")
    assert experiment
    runs = mlflow.search_runs([experiment.experiment_id])
    logged = mlflow.search_logged_models([experiment.experiment_id])
    aliases = mlflow.get_registered_model("toy").aliases
    shown = [[(v.version, v.source, v.run_id, v.tags) for v in versions], [r.to_dictionary() for r in runs], aliases]
    return [*shown, [(one.model_id, one.tags) for one in logged]]


@pytest.mark.slow
def test_models_and_predictions_of_a_sandbox_change_nothing_of_the_main_lake(scored: Toy) -> None:
    files, models = files_of(scored.settings.home_path), models_of(scored)
    tables = {name: scored.lake.snapshot_id(name) for name in scored.lake.table_names()}
    enter_sandbox("deeper")
    own = Toy(scored.pipeline, settings())
    trained = own.run("train", "2024-01-01", "2024-02-05", params={"nthread": 1, "max_depth": 3})
    assert trained.details.model_version == "2"
    with contextlib.suppress(GateRefusedError):
        own.run("promote", *GATE, model="2")
    own.run("promote", *GATE, model="1", reason="once more")
    own.run("score", "2024-03-10", "2024-03-12", model="2")
    own.run("performance", "2024-03-10")
    assert set(own.lake.scan("predictions")["model_version"].to_pylist()) == {"2"}
    assert list(own.settings.reports.glob("toy/decisions/v2_*.json"))
    assert registry.versions(settings(), "toy")[-1].version == "2"
    told = "".join(path.read_text() for path in own.settings.lineage.rglob("*.jsonl"))
    assert '"name": "sandbox_deeper__toy.train"' in told
    assert '"name": "toy.' not in told
    assert models_of(scored) == models
    assert files_of(scored.settings.home_path) == files
    assert {name: scored.lake.snapshot_id(name) for name in scored.lake.table_names()} == tables
    assert [one.version for one in registry.versions(scored.settings, "toy")] == ["1"]
    sandbox = mlflow_store.client(settings()).get_experiment_by_name("sandbox_deeper__toy")
    assert sandbox
    dropped(scored, "deeper")
    assert models_of(scored) == models
    assert files_of(scored.settings.home_path) == files
    assert not mlflow_store.client(scored.settings).search_registered_models("name LIKE 'sandbox%'")
    assert mlflow_store.client(scored.settings).get_experiment_by_name("sandbox_deeper__toy") is None
    assert not [one for one in scored.settings.home_path.rglob("*deeper*") if one.parent.name != "turns"]


def dropped(main: Toy, name: str) -> None:
    operations.drop(main.settings, name)


def test_a_sandbox_keeps_the_numbers_of_versions_where_some_were_deleted(scored: Toy) -> None:
    mlflow = mlflow_store.client(scored.settings)
    first = registry.versions(scored.settings, "toy")[0]
    source = mlflow.get_model_version("toy", "1").source
    for _ in range(3):
        mlflow.create_model_version("toy", source, first.run_id, tags=first.tags)
    mlflow.delete_model_version("toy", "1")
    mlflow.delete_model_version("toy", "3")
    own = scored.settings.inside("deeper")
    assert sandbox_models.begin(own, "toy") == 4
    assert [one.version for one in registry.versions(own, "toy")] == ["2", "4"]
    assert registry.resolve(own, "toy", "4").package.card.pipeline == "toy"

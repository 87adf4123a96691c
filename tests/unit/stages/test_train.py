import json
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import xgboost
from tests.conftest import toy_in
from tests.toy_tables import copy_empty_registry, publish_toy, untrained

from contrail.adapters import mlflow_store, registry
from contrail.adapters.data_versions import fetch
from contrail.config.settings import settings
from contrail.errors import DataError, MissingInputError, SpecError
from contrail.lake.datasets import PARTITION
from contrail.lake.labels import read_training_rows
from contrail.methods.fit import predict_unseen
from contrail.methods.label_drift import build_label_reference, day_residuals, parts_of
from contrail.methods.matrices import encode_window
from contrail.methods.model_package import ModelPackage
from contrail.partitions import Partitions
from contrail.stages import train
from contrail.stages.training import rows as training_rows
from contrail.stages.training.checkpoints import CheckpointFolder

WINDOW = ("2024-01-01", "2024-02-09")
ONE_THREAD = {"nthread": 1}


@pytest.fixture
def ready(prepared):
    return prepared(untrained)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A home in which version 1 was trained; for tests that only look."""
    with toy_in(tmp_path_factory.mktemp("world")) as (toy, _):
        publish_toy(toy, "2024-01-01", "2024-02-15")
        toy.land("2024-01-01", "2024-01-03")
        copy_empty_registry(toy.settings)
        yield toy, trained(toy, params={"max_depth": 2})


@pytest.fixture
def version(world):
    toy, _ = world
    return registry.resolve(toy.settings, "toy", "1").package


def trained(toy, **options):
    return toy.run("train", *WINDOW, params={**ONE_THREAD, **options.pop("params", {})}, **options)


def test_a_run_is_named_by_its_version_window_and_changed_parameters(world):
    toy, result = world
    run = mlflow_store.client(toy.settings).get_run(result.details.mlflow_run)
    assert run.info.run_name == "version 1: 2024-01-01..2024-02-09 nthread=1 max_depth=2"


def test_a_version_is_registered_as_a_candidate_and_no_alias_moves(world):
    toy, result = world
    assert result.details.model_version == "1"
    entry = registry.describe_version(toy.settings, "toy", "1")
    assert entry.tags["status"] == "candidate"
    assert entry.tags["training_window"] == "2024-01-01..2024-02-09"
    assert registry.alias_version(toy.settings, "toy", "champion") is None
    assert registry.alias_version(toy.settings, "toy", "challenger") is None


def test_a_day_whose_labels_were_not_all_known_after_the_window_is_left_out_and_named(world, version):
    toy, result = world
    late = "SELECT DISTINCT ship_date FROM validated_deliveries WHERE ship_date <= '2024-02-09' AND visible_from > '2024-02-10'"
    assert toy.sql(late) == [(date(2024, 2, 9),)]
    assert version.card.training.labels_as_of == date(2024, 2, 10)
    assert version.card.training.rows == result.rows == 39 * 60
    assert result.details.immature == ("2024-02-09",)


def test_the_card_has_the_usual_share_of_flagged_predictions(version, toy):
    usual = version.card.flagged
    assert usual.threshold == toy.spec.score.threshold
    assert 0 <= usual.low < usual.high <= 1


def test_the_training_set_comes_back_by_its_hash_with_the_rows_that_were_used(world, tmp_path):
    toy, result = world
    rows = pq.read_table(fetch(toy.settings, result.details.training_set_md5, tmp_path / "rows.parquet"))
    assert rows.num_rows == result.rows
    assert {"label", PARTITION, *toy.spec.features.columns} <= set(rows.column_names)


def test_landed_files_are_versioned_too(world):
    toy, result = world
    run = mlflow_store.client(toy.settings).get_run(result.details.mlflow_run)
    assert run.data.tags["dvc_landed_files_md5"].endswith(".dir")


def test_the_card_says_all_that_is_needed_to_train_again(world, version):
    toy, _ = world
    assert version.card.features == tuple(toy.spec.features.columns)
    assert version.card.categories == {"depot": ["A", "B", "C"]}
    assert version.card.rate_table.features == ("depot",)
    assert len(version.card.rate_table.groups) == 3
    training = version.card.training
    assert training.params["max_depth"] == 2
    assert training.params["seed"] == 0
    assert training.feature_snapshot == toy.lake.snapshot_id("features")
    assert training.pipeline_hash == toy.pipeline.hash
    assert training.lock_hash


def test_the_snapshots_that_were_read_are_tagged_so_that_they_never_expire(world):
    toy, _ = world
    snapshot = toy.lake.snapshot_id("features")
    assert f"training-{snapshot}" in toy.lake.history("features")[0].tags


def test_drift_is_referred_to_all_rows_of_the_window_labelled_or_not(world, version):
    days = Partitions(version.reference.first_day, version.reference.last_day)
    assert version.reference.rows == len(days) * 60


def test_the_label_is_referred_to_days_that_were_predicted_unseen_and_whose_labels_were_known(world, version):
    toy, _ = world
    reference = version.reference.label
    assert reference.days == 40 - toy.spec.label.mature_after_days
    rows = read_training_rows(toy.lake, toy.spec, Partitions.parse(*WINDOW), as_of=date(2024, 2, 10))
    days, training = rows[PARTITION].to_numpy(), version.card.training
    unseen = predict_unseen(
        encode_window(rows, toy.spec), parts_of(days), {**training.params, "device": "cpu"}, training.rounds
    )
    residuals = day_residuals(days, rows["label"].to_numpy(), unseen)
    assert max(residuals) == date(2024, 2, 8)
    assert reference == build_label_reference(residuals, toy.spec.drift)


def test_mlflow_has_metrics_overall_by_segment_and_by_month_and_the_plots(world):
    toy, result = world
    run = mlflow_store.client(toy.settings).get_run(result.details.mlflow_run)
    found = run.data.metrics
    assert found["validation/auc"] == pytest.approx(result.details.validation["auc"])
    assert {"by_segment/depot/A/log_loss", "by_month/2024-02/auc", "rate_table/log_loss"} <= set(found)
    assert found["interval/auc_low"] < found["validation/auc"] < found["interval/auc_high"]
    assert found["validation/log_loss"] < found["rate_table/log_loss"] < found["constant/log_loss"]
    assert run.data.params["train_to"] == "2024-02-09"
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    plots = {path.name for path in (artifacts / "plots").iterdir()}
    assert plots == {"calibration.png", "roc.png", "precision_recall.png", "importance.png", "learning_curve.png"}
    assert (artifacts / "importance.csv").read_text().startswith("feature,share_of_gain\nweight,")


def test_the_same_rows_give_the_same_bytes(ready):
    first, second = trained(ready), trained(ready)
    assert first.details.model_sha256 == second.details.model_sha256
    assert first.details.training_set_md5 == second.details.training_set_md5
    folders = [registry.resolve(settings(), "toy", version).folder for version in ("1", "2")]
    for name in ("model.ubj", "model.json", "reference.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_the_rows_of_a_training_are_explained_once(ready, monkeypatch):
    """Drift and the model card need the same contributions."""
    explained, explain = [], ModelPackage.contributions_matrix
    monkeypatch.setattr(
        ModelPackage, "contributions_matrix", lambda own, matrix: explained.append(len(matrix)) or explain(own, matrix)
    )
    trained(ready)
    assert len(explained) == 1


def test_an_experiment_writes_its_metrics_and_registers_nothing(ready, tmp_path):
    path = tmp_path / "deep" / "metrics.json"
    result = trained(ready, registered=False, metrics_path=path)
    assert result.details.model_version is None
    found = json.loads(path.read_text())
    assert found["validation"]["auc"] == pytest.approx(result.details.validation["auc"])
    assert ready.lake.history("features")[0].tags == ()
    with pytest.raises(MissingInputError, match="no model in the registry"):
        registry.resolve(settings(), "toy", "latest")


def test_a_window_without_labelled_rows_says_what_to_run(ready):
    with pytest.raises(MissingInputError, match=r"no row of 2024-03-01\.\.2024-03-20 has both features and a label"):
        ready.run("train", "2024-03-01", "2024-03-20")


def test_a_wrong_parameter_stops_before_anything_is_read(toy):
    with pytest.raises(SpecError, match="Did you mean 'max_depth'"):
        toy.run("train", *WINDOW, params={"max_dept": 3})


def test_labels_of_one_class_are_refused(ready, monkeypatch):
    real = training_rows.labelled_rows

    @contextmanager
    def all_late(*arguments):
        with real(*arguments) as rows:
            rows.connection.execute("UPDATE labelled SET label = 1")
            yield rows

    monkeypatch.setattr(training_rows, "labelled_rows", all_late)
    with pytest.raises(DataError, match=r"all .* labels of the fit part"):
        trained(ready)


def test_a_training_that_was_killed_goes_on_and_makes_the_same_model(ready, monkeypatch):
    asked = {"params": {"checkpoint_rounds": 2, "rounds": 9}, "registered": False}
    whole = trained(ready, **asked).details.model_sha256
    folder = ready.settings.staging / "toy" / "checkpoints"
    assert not list(folder.glob("**/*.json")), "a training that has ended leaves none"

    save, saved = CheckpointFolder.save, []

    def killed(checkpoints, name, checkpoint):
        save(checkpoints, name, checkpoint)
        saved.append(name)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFolder, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(ready, **asked)
    assert len(list(folder.glob("**/*.json"))) == 1
    monkeypatch.setattr(CheckpointFolder, "save", save)
    run = ready.stage_run("train", *WINDOW, params={**ONE_THREAD, **asked["params"]}, registered=False)
    told = []
    object.__setattr__(run, "progress", told.append)
    assert train.execute(run).details.model_sha256 == whole
    assert [line for line in told if "continuing fit after the checkpoint of run" in line]


def test_a_training_with_bins_on_disk_makes_the_same_model(world, ready, monkeypatch):
    _, whole = world
    made, external = [], xgboost.ExtMemQuantileDMatrix
    monkeypatch.setattr(xgboost, "ExtMemQuantileDMatrix", lambda *a, **k: made.append(k) or external(*a, **k))
    params = {"max_depth": 2, "external_memory_rows": whole.rows}
    assert trained(ready, params=params, registered=False).details.model_sha256 == whole.details.model_sha256
    assert made == []
    params["external_memory_rows"] -= 1
    assert trained(ready, params=params, registered=False).details.model_sha256 == whole.details.model_sha256
    assert len(made) > 3, "fit, validation, refit, and the parts that drift's reference is made of"


def test_without_executors_the_process_grows_trees_alone(ready):
    alone, asked = trained(ready), trained(ready, params={"workers": 2})
    assert asked.details.workers == 1
    assert asked.details.model_sha256 == alone.details.model_sha256


def test_labels_that_are_not_0_or_1_are_refused_before_a_model_is_fitted(ready, monkeypatch):
    label = ready.spec.label.model_copy(update={"expression": "delay"})
    spec = ready.spec.model_copy(update={"label": label})
    monkeypatch.setattr("contrail.config.pipeline.load_spec", lambda _: spec)
    monkeypatch.setattr("contrail.stages.train.fit_trees", lambda *_: pytest.fail("a model was fitted"))
    with pytest.raises(DataError, match="labels are not 0 or 1"):
        trained(ready)

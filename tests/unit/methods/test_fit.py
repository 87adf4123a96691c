import hashlib
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from contrail.config import rules
from contrail.config.model_spec import GateSpec, OffsetSpec, TrainSpec
from contrail.errors import SpecError
from contrail.methods import fit, trainer
from contrail.methods.encoded_rows import EncodedRows, Room
from contrail.methods.fit import Method, booster_params, fit_trees, override, predict_unseen, requested
from contrail.methods.matrices import TrainingRows, predict
from contrail.methods.trainer import ThisProcess

PARAMS = {"max_depth": 3, "subsample": 0.8, "nthread": 1}  # on a busy machine two threads wait for each other
TRAIN = TrainSpec(rounds=30, early_stopping_rounds=3, device="cpu", params=PARAMS)
TWO_THREADS = TRAIN.model_copy(update={"params": {**PARAMS, "nthread": 2}, "rounds": 10})


def made_rows(task: str = "binary", count: int = 2000, room: Room | None = None) -> TrainingRows:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(count, 4)).astype(np.float32)
    matrix[:, 1] = rng.integers(0, 3, count)
    matrix[rng.random(count) < 0.1, 2] = np.nan
    score = matrix[:, 0] + (matrix[:, 1] == 2)
    labels = rng.random(count) < 1 / (1 + np.exp(-score)) if task == "binary" else score * 10
    a, b, c, d = matrix.T
    features = pa.table({"a": a, "b": np.array(["x", "y", "z"])[b.astype(int)], "c": c, "d": d})
    encoded = EncodedRows(("a", "b", "c", "d"), {"b": ["x", "y", "z"]}, room)
    encoded.append(features)
    return TrainingRows(encoded, labels.astype(np.float32))


def fitted(task: str = "binary", train: TrainSpec = TRAIN) -> fit.Fitted:
    rows = made_rows(task)
    first = np.arange(2000) < 1500
    return fit_trees(rows, first, ~first, Method(train, booster_params(task, train)))


def test_training_twice_on_two_threads_gives_the_same_bytes():
    assert fitted(train=TWO_THREADS).model == fitted(train=TWO_THREADS).model


def test_another_process_gives_the_same_bytes():
    code = """
        import hashlib
        from tests.unit.methods.test_fit import TWO_THREADS, fitted
        print(hashlib.sha256(fitted(train=TWO_THREADS).model).hexdigest())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    path = "include:."
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": path, "PATH": ""})
    assert done.stdout.strip() == hashlib.sha256(fitted(train=TWO_THREADS).model).hexdigest()


def test_another_seed_gives_other_bytes():
    assert fitted(train=TRAIN.model_copy(update={"seed": 1})).model != fitted().model


def test_the_number_of_threads_is_written_down():
    assert booster_params("binary", TrainSpec())["nthread"] >= 1


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_model_learns_and_the_useful_feature_is_the_important_one(task):
    found = fitted(task)
    assert max(found.importance, key=found.importance.__getitem__) == "a"
    assert sum(found.importance.values()) == pytest.approx(1)
    name = "logloss" if task == "binary" else "rmse"
    assert found.history["validation"][name][-1] < found.history["validation"][name][0]
    assert len(predict(found.checked, made_rows(task), np.arange(2000) >= 1500)) == 500


def test_early_stopping_keeps_the_best_rounds_and_refit_uses_all_rows():
    import xgboost

    found = fitted()
    values = found.history["validation"]["logloss"]
    assert found.rounds == int(np.argmin(values)) + 1
    booster = xgboost.Booster(model_file=bytearray(found.model))
    assert booster.num_boosted_rounds() == found.rounds
    assert fitted(train=TRAIN.model_copy(update={"refit": False})).model != found.model


def test_validation_predictions_are_of_the_model_that_did_not_see_those_rows():
    found = fitted()
    labels = made_rows().labels[1500:]
    p = predict(found.checked, made_rows(), np.arange(2000) >= 1500)
    loss = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert loss == pytest.approx(min(found.history["validation"]["logloss"]), abs=1e-4)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_each_part_is_predicted_by_a_model_that_has_not_seen_it(task):
    rows, params = made_rows(task), booster_params(task, TRAIN)
    parts = np.arange(2000) * 3 // 2000
    found = predict_unseen(rows, parts, params, 10)
    assert np.corrcoef(found, rows.labels)[0, 1] > 0.3
    for part in range(3):
        other = rows.labels.copy()
        other[parts == part] = other[parts == part][::-1]
        again = predict_unseen(replace(rows, labels=other), parts, params, 10)
        assert np.array_equal(again[parts == part], found[parts == part])
        assert not np.array_equal(again[parts != part], found[parts != part])


def test_a_scientists_changes_go_to_settings_or_to_xgboost_by_their_name():
    changed = override(TRAIN, {"rounds": 7, "eta": 0.3, "max_depth": 8})
    assert changed.rounds == 7
    assert changed.params == {**PARAMS, "max_depth": 8, "eta": 0.3}
    assert TRAIN.params == PARAMS
    with pytest.raises(SpecError, match="rounds"):
        override(TRAIN, {"rounds": 0})


@pytest.mark.parametrize(
    ("task", "values", "said"),
    [
        ("regression", {"calibration": "isotonic"}, "calibration=isotonic: only probabilities are calibrated"),
        (
            "binary",
            {"objective": "reg:squarederror"},
            "objective=reg:squarederror: a binary task needs binary:logistic",
        ),
        ("binary", {"rate_table": ["sise"]}, "'sise' is not in features.columns; did you mean 'size'"),
        ("binary", {"segments": ["sise"]}, "'sise' is not in features.columns; did you mean 'size'"),
        ("binary", {"eta": float("nan")}, "eta=nan: nan is no number"),
        ("binary", {"params": {"eta": 0.1}}, "name the parameters of XGBoost themselves"),
        (
            "binary",
            {"window_days": 30},
            "window_days: it is for scheduled trainings; give this one its first and last day",
        ),
        ("binary", {"learning_rate": 0.1}, "'learning_rate' and 'eta' are two names of one parameter"),
        ("binary", {"n_jobs": 1}, "'n_jobs' and 'nthread' are two names of one parameter"),
        ("binary", {"random_state": 1}, "'random_state' and 'seed' are two names of one parameter"),
    ],
)
def test_a_scientists_changes_keep_the_rules_of_the_pipelines_file(spec, task, values, said):
    spec = spec.model_copy(update={"task": task, "gate": GateSpec(metric="rmse" if task == "regression" else "auc")})
    assert requested(spec, {"eta": 0.1, "rounds": 7}).rounds == 7
    with pytest.raises(SpecError, match=re.escape(said)):
        requested(spec, {"eta": 0.1, **values})


def test_an_objective_in_another_scale_than_the_offset_is_refused(spec):
    train = spec.train.model_copy(update={"offset": OffsetSpec(feature=next(iter(spec.features.columns)))})
    spec = spec.model_copy(update={"task": "regression", "gate": GateSpec(metric="rmse"), "train": train})
    assert requested(spec, {"objective": "reg:absoluteerror"}).params["objective"] == "reg:absoluteerror"
    for objective in ("count:poisson", "reg:logistic"):
        with pytest.raises(SpecError, match=f"objective={objective}: with train.offset the objective of a regression"):
            requested(spec, {"objective": objective})


def test_a_seed_that_the_file_has_among_the_parameters_cannot_be_changed(spec):
    spec = spec.model_copy(update={"train": spec.train.model_copy(update={"params": {"seed": 1}})})
    with pytest.raises(SpecError, match=re.escape("seed: train.params.seed of pipeline.yaml decides")):
        requested(spec, {"seed": 2})


def test_each_second_name_is_one_that_xgboost_reads_as_the_first():
    """The rule is true of the XGBoost that is installed: the configuration has one value for both."""
    rows = xgboost.DMatrix(np.zeros((2, 1)), label=[0, 1])
    for name, other in rules._TWO_NAMES.items():
        value = 2 if name == "reg_lambda" else 1  # no default
        booster = xgboost.Booster({name: value, "tree_method": "hist"}, [rows])
        text = booster.save_config()
        found = {one: set(re.findall(rf'"{one}":"([^"]*)"', text)) for one in (name, other)}
        assert found[name] == found[other] == {str(value)}, found


def test_an_unknown_parameter_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match=r"no parameter 'maxdepth'. Did you mean 'max_depth'"):
        booster_params("binary", override(TRAIN, {"maxdepth": 4}))


def test_a_value_that_xgboost_refuses_is_a_spec_error_in_its_words():
    with pytest.raises(SpecError, match="max_depth"):
        booster_params("binary", override(TRAIN, {"max_depth": "deep"}))


def test_known_parameters_of_every_kind_pass():
    known = {"lambda": 2, "reg_alpha": 1, "max_bin": 64, "eval_metric": "auc", "learning_rate": 0.1, "nthread": 3}
    assert booster_params("binary", override(TRAIN, known))["nthread"] == 3
    assert fitted(train=override(TRAIN, {"max_bin": 16})).rounds > 0


def test_auto_uses_a_gpu_only_where_there_is_one_and_it_pays(monkeypatch):
    here = ThisProcess()
    monkeypatch.setattr(trainer, "gpu_memory", lambda: 80 * 2**30)
    assert here.device("auto", 300_000) == "cpu"
    assert here.device("auto", 3_000_000) == "cuda"
    assert here.device("cpu", 3_000_000) == "cpu"
    monkeypatch.setattr(trainer, "gpu_memory", lambda: 0)
    assert here.device("auto", 3_000_000) == "cpu"
    with pytest.raises(SpecError, match="no CUDA device"):
        here.device("cuda", 10)


@pytest.mark.parametrize(
    ("memory", "changed", "outside"),
    [  # 2,000 rows of 4 columns take 139,000 bytes: 4 × 11 bits and 64 bytes a row
        (279_000, {}, False),
        (277_000, {}, True),
        (277_000, {"max_bin": 64}, False),
        (277_000, {"device": "cpu"}, False),
    ],
)
def test_bins_that_a_gpu_is_too_small_for_are_kept_outside_it(monkeypatch, memory, changed, outside):
    made = []
    monkeypatch.setattr(trainer, "gpu_memory", lambda: memory)
    monkeypatch.setattr(trainer, "binned", lambda rows, *_: made.append(rows.external_memory))
    first = np.arange(2000) < 1500
    with ThisProcess().holding(made_rows(), first, {"device": "cuda", **changed}, ~first):
        assert made == [outside, outside], "those of fit and of validation"
    with ThisProcess().holding(replace(made_rows(), external_memory=True), first, {"device": "cuda", **changed}):
        assert made.pop(), "as it is asked for"


@pytest.mark.parametrize(("memory", "stay"), [(343_000, True), (341_000, False)])
def test_encoded_rows_stay_on_a_gpu_that_has_room_for_them_beside_the_bins(monkeypatch, memory, stay):
    made = []  # 2,000 rows take 139,000 bytes as bins, and 32,000 encoded
    monkeypatch.setattr(trainer, "gpu_memory", lambda: memory)
    monkeypatch.setattr(trainer, "binned", lambda rows, *_: made.append(rows.on_card))
    with ThisProcess().holding(made_rows(), np.arange(2000) < 1500, {"device": "cuda"}):
        assert made == [stay]


@pytest.mark.parametrize(("memory", "outside"), [(56_000, False), (55_000, True)])
def test_bins_that_memory_has_no_room_for_are_kept_on_disk(monkeypatch, tmp_path, memory, outside):
    made = []
    monkeypatch.setattr(trainer, "binned", lambda rows, *_: made.append(rows.external_memory))
    rows = made_rows(room=Room(0, memory, tmp_path))
    with ThisProcess().holding(rows, np.arange(2000) < 1500, {"device": "cpu"}):
        assert made == [outside]


def test_the_driver_is_asked_for_the_memory_of_the_first_gpu(monkeypatch):
    def total(found, gpu):
        found._obj.value = 24 * 2**30 + gpu.value
        return 0

    def get(gpu, number):
        gpu._obj.value = 7
        return number

    driver = SimpleNamespace(cuInit=lambda flags: flags, cuDeviceGet=get, cuDeviceTotalMem_v2=total)
    monkeypatch.setattr(trainer.ctypes, "CDLL", lambda name: driver)
    assert trainer.gpu_memory() == 24 * 2**30 + 7
    for call in vars(driver):
        with monkeypatch.context() as broken:
            broken.setattr(driver, call, lambda *_: 100)
            assert trainer.gpu_memory() == 0

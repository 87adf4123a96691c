import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contrail.config.model_spec import TrainSpec
from contrail.config.spec import load_spec
from contrail.errors import DataError
from contrail.methods.baselines import RateTable
from contrail.methods.encoded_rows import EncodedRows
from contrail.methods.encoding import encode
from contrail.methods.fit import Method, booster_params, fit_trees
from contrail.methods.matrices import TrainingRows
from contrail.methods.model_package import ModelCard, ModelPackage, TrainingRecord, _load_pyfunc

SPEC = load_spec(Path(__file__).resolve().parents[2] / "pipelines" / "toy" / "pipeline.yaml")
NAMES = ("depot", "weight", "distance", "late_rate_7d")
CATEGORIES = {"depot": ["A", "B", "C"]}


def made_features(count: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    depot = rng.integers(0, 3, count)
    return pa.table(
        {
            "depot": np.array(["A", "B", "C"])[depot],
            "weight": rng.gamma(2, 3, count),
            "distance": np.array([5.0, 20.0, 60.0])[depot],
            "late_rate_7d": pa.array(rng.random(count), mask=rng.random(count) < 0.2),
        }
    )


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    features = made_features()
    matrix = encode(features, NAMES, CATEGORIES)
    labels = (matrix[:, 1] + 3 * (matrix[:, 0] == 2) > 7).astype(np.float32)
    train = TrainSpec(rounds=10, device="cpu", params={"max_depth": 3})
    half = np.arange(400) < 300
    params = booster_params("binary", train)
    encoded = EncodedRows(NAMES, CATEGORIES)
    encoded.append(features)
    fitted = fit_trees(TrainingRows(encoded, labels), half, ~half, Method(train, params))
    record = TrainingRecord(
        start=date(2024, 1, 1),
        end=date(2024, 1, 31),
        labels_as_of=date(2024, 2, 1),
        embargo_days=1,
        rows=400,
        feature_snapshot=7,
        snapshots={"features": 7},
        training_set_md5="abc",
        rounds=fitted.rounds,
        device="cpu",
        params=params,
        options={},
        code_revision="",
        lock_hash="",
        pipeline_hash="",
        xgboost_version="",
    )
    card = ModelCard(
        pipeline="toy",
        task="binary",
        label=SPEC.label.expression,
        label_mean=float(labels.mean()),
        features=NAMES,
        categories=CATEGORIES,
        rate_table=RateTable(features=("depot",), overall=0.3, groups={"A": 0.1}),
        training=record,
    )
    return ModelPackage(card, fitted.model, b'{"format": 1}')


def test_a_package_comes_back_as_it_was_saved(package, tmp_path):
    saved = package.save(tmp_path / "one")
    loaded = ModelPackage.load(tmp_path / "one")
    assert loaded.card == saved.card
    assert loaded.reference_bytes == b'{"format": 1}'
    np.testing.assert_array_equal(loaded.predict(made_features()), package.predict(made_features()))


def test_the_same_package_has_the_same_bytes_and_no_pickle(package, tmp_path):
    package.save(tmp_path / "one")
    package.save(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["model.json", "model.ubj", "reference.json"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


@pytest.mark.parametrize("name", ["model.ubj", "reference.json"])
def test_a_changed_file_is_refused_by_name(package, tmp_path, name):
    package.save(tmp_path)
    changed = bytearray((tmp_path / name).read_bytes())
    changed[-2] ^= 1
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(DataError, match=f"{name} is not the file that was trained"):
        ModelPackage.load(tmp_path)


@pytest.mark.parametrize("digests", [{}, {"reference.json": None}, {"model.ubj": None}, {"model.ubj": "0" * 64}])
def test_trees_that_the_card_does_not_vouch_for_never_reach_xgboost(package, tmp_path, monkeypatch, digests):
    package.save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    changed = {**card["sha256"], **digests} if digests else {}
    card["sha256"] = {name: digest for name, digest in changed.items() if digest}
    (tmp_path / "model.json").write_text(json.dumps(card))
    monkeypatch.setattr("xgboost.Booster.load_model", lambda *_: pytest.fail("XGBoost read it"))
    with pytest.raises(DataError, match="is not the file that was trained"):
        ModelPackage.load(tmp_path)


def test_a_card_with_another_digest_than_the_registrys_is_refused(package, tmp_path):
    package.save(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.json").read_bytes()).hexdigest()
    assert ModelPackage.load(tmp_path, digest).card.pipeline == "toy"
    with pytest.raises(DataError, match=r"model\.json is not the file .* from that in the registry"):
        ModelPackage.load(tmp_path, "0" * 64)


def test_a_missing_file_and_a_strange_card_are_refused(package, tmp_path):
    package.save(tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "surprise": 1}))
    with pytest.raises(DataError, match="surprise"):
        ModelPackage.load(tmp_path)
    (tmp_path / "reference.json").unlink()
    with pytest.raises(DataError, match=r"has no reference\.json"):
        ModelPackage.load(tmp_path)


def test_a_card_that_names_other_features_than_the_trees_is_refused(package, tmp_path):
    swapped = package.card.model_copy(update={"features": (NAMES[1], NAMES[0], *NAMES[2:])})
    replace(package, card=swapped).save(tmp_path)
    with pytest.raises(DataError, match="has features"):
        ModelPackage.load(tmp_path).predict(made_features(5))


def test_columns_may_come_in_any_order_and_an_unknown_category_is_missing(package):
    features = made_features(5)
    turned = features.select(["weight", "late_rate_7d", "depot", "distance"])
    np.testing.assert_array_equal(package.predict(turned), package.predict(features))
    unknown = features.set_column(0, "depot", pa.array(["Z"] * 5))
    absent = features.set_column(0, "depot", pa.nulls(5, pa.string()))
    np.testing.assert_array_equal(package.predict(unknown), package.predict(absent))


def test_contributions_sum_to_the_score(package):
    p = package.predict(made_features())
    parts = package.contributions(made_features())
    assert parts.shape == (400, 5)
    np.testing.assert_allclose(1 / (1 + np.exp(-parts.sum(axis=1))), p, atol=1e-5)


def test_no_rows_have_no_predictions(package):
    assert package.predict(made_features(0)).shape == (0,)
    assert package.contributions(made_features(0)).shape == (0, 5)


def test_a_package_fits_the_spec_that_it_was_trained_for_and_says_where_it_does_not(package):
    assert package.differences(SPEC) == []
    label = SPEC.label.model_copy(update={"expression": "delay > 30"})
    kept = {name: column for name, column in SPEC.features.columns.items() if name != "weight"}
    columns = {**kept, "distance": kept["distance"].model_copy(update={"kind": "category"})}
    features = SPEC.features.model_copy(update={"columns": columns})
    found = package.differences(SPEC.model_copy(update={"label": label, "features": features}))
    assert [text.split(":")[0] for text in found] == [
        "its label differs",
        "it needs features that the pipeline no longer has",
        "features changed their kind",
    ]


def test_mlflows_loader_predicts_from_a_data_frame(package, tmp_path):
    package.save(tmp_path)
    found = _load_pyfunc(str(tmp_path)).predict(made_features().to_pandas())
    np.testing.assert_array_equal(found, package.predict(made_features()))


def renamed(spec, **names):
    """The spec with features of other names; what a name was before is in renamed_from."""
    columns = {names.get(n, n): c.model_copy(update={"renamed_from": (n,) * (n in names)}) for n, c in spec.items()}
    return SPEC.features.model_copy(update={"columns": columns})


def test_a_renamed_feature_is_read_under_its_name_of_today(package):
    spec = SPEC.model_copy(update={"features": renamed(SPEC.features.columns, weight="mass", depot="place")})
    today, rows = package.of_today(spec), made_features()
    new = rows.rename_columns([{"weight": "mass", "depot": "place"}.get(n, n) for n in rows.column_names])
    assert package.differences(spec) == []
    assert {"mass", "place"} <= set(today.features)
    np.testing.assert_array_equal(today.predict(new), package.predict(rows))
    np.testing.assert_array_equal(today.contributions(new), package.contributions(rows))
    np.testing.assert_array_equal(today.rate_table.predict(new), package.rate_table.predict(rows))
    assert today.files() == package.files(), "the model is the same"


def test_a_label_whose_column_was_renamed_is_the_same_label(package):
    table = SPEC.tables["deliveries"]
    columns = {("late_by" if n == "delay" else n): c for n, c in table.columns.items()}
    columns["late_by"] = columns["late_by"].model_copy(update={"renamed_from": ("delay",)})
    tables = {**SPEC.tables, "deliveries": table.model_copy(update={"columns": columns})}
    label = SPEC.label.model_copy(update={"expression": "late_by > 15"})
    assert package.differences(SPEC.model_copy(update={"tables": tables, "label": label})) == []
    other = label.model_copy(update={"expression": "late_by > 30"})
    assert package.differences(SPEC.model_copy(update={"tables": tables, "label": other}))


def test_a_digest_tells_apart_whatever_predictions_and_their_drift_depend_on(package):
    categories = {name: values[::-1] for name, values in package.card.categories.items()}
    others = [
        replace(package, booster_bytes=package.booster_bytes + b"x"),
        replace(package, reference_bytes=b"{}"),
        replace(package, columns={NAMES[0]: "renamed"}),
        replace(package, card=package.card.model_copy(update={"categories": categories})),
    ]
    assert len({package.digest, *(other.digest for other in others)}) == 5
    assert replace(package).digest == package.digest

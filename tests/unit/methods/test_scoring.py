from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from tests.unit.methods.test_model_package import made_features, package  # noqa: F401 - a fixture

from contrail.errors import DataError
from contrail.methods.scoring import Receipt, Scorer, Scoring, outcome_columns

RECEIPT = Receipt(
    model_name="toy",
    model_version="7",
    feature_snapshot=None,
    scoring_run="run",
    scored_at=datetime(2024, 2, 1, 5, 6, 7, 89, UTC),
)


@pytest.fixture
def scorer(package) -> Scorer:  # noqa: F811
    return Scorer(package, Scoring(kept=("day", "parcel"), threshold=0.4, reasons=2, receipt=RECEIPT))


@pytest.fixture
def rows() -> pa.Table:
    features = made_features()
    return features.append_column("parcel", pa.array(range(400))).append_column(
        "day", pa.array([date(2024, 2, 1)] * 400)
    )


def test_a_row_has_its_key_its_outcome_its_reasons_and_its_receipt(scorer, rows):
    made = scorer(rows)
    assert made.column_names[:4] == ["day", "parcel", "probability", "decision"]
    assert [name for name in made.column_names if name.startswith("reason_")] == [
        f"reason_{rank}{what}" for rank in (1, 2) for what in ("", "_value", "_contribution")
    ]
    np.testing.assert_array_equal(made["probability"], scorer.package.predict(rows))
    assert made["decision"].to_pylist() == [p >= 0.4 for p in made["probability"].to_pylist()]
    assert made.select(list(Receipt.model_fields)).slice(399).to_pylist() == [RECEIPT.model_dump()]


def test_no_reasons_are_no_columns(scorer, rows):
    without = replace(scorer, scoring=scorer.scoring.model_copy(update={"reasons": 0}))
    assert not [name for name in without(rows).column_names if name.startswith("reason_")]


def test_a_rows_prediction_does_not_depend_on_the_rows_beside_it(scorer, rows):
    whole = scorer(rows)
    for size in (1, 7, 150):
        pieces = pa.concat_tables(scorer(rows.slice(start, size)) for start in range(0, 400, size))
        assert pieces.equals(whole), size
    backwards = np.arange(399, -1, -1)
    assert scorer(rows.take(backwards)).equals(whole.take(backwards))


def test_it_is_the_same_function_when_it_is_made_of_its_files(scorer, rows):
    again = Scorer.from_files(scorer.files())
    assert again.scoring == scorer.scoring
    assert again(rows).equals(scorer(rows))
    assert sorted(scorer.files()) == ["columns.json", "model.json", "model.ubj", "reference.json", "scoring.json"]


def test_a_model_that_was_changed_on_its_way_is_refused(scorer):
    files = scorer.files()
    with pytest.raises(DataError, match=r"model\.ubj is not the file that was trained"):
        Scorer.from_files({**files, "model.ubj": files["model.ubj"][:-1] + b"?"})


def test_a_regression_has_a_prediction_and_no_decision():
    assert list(outcome_columns("regression", np.array([1.5]), 0.5)) == ["prediction"]
    assert outcome_columns("binary", np.array([0.5, 0.4]), 0.5)["decision"].to_pylist() == [True, False]

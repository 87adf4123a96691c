import numpy as np
import pyarrow as pa
import pytest

from contrail.errors import DataError, MissingInputError
from contrail.methods.encoding import category_table, encode, feature_types


@pytest.fixture
def rows():
    return pa.table({"speed": [1.5, None, 3.0], "carrier": ["UA", None, "AA"], "number": pa.array([7, 8, 9])})


def test_the_table_of_a_category_is_sorted_and_without_null(rows):
    assert category_table(rows, ["carrier"]) == {"carrier": ["AA", "UA"]}


def test_numbers_pass_and_categories_become_codes_and_null_becomes_missing(rows):
    matrix = encode(rows, ["carrier", "speed"], {"carrier": ["AA", "UA"]})
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, np.array([[1, 1.5], [np.nan, np.nan], [0, 3]], np.float32))


def test_a_value_that_training_did_not_see_is_missing(rows):
    assert np.isnan(encode(rows, ["carrier"], {"carrier": ["AA", "B6"]})[0, 0])


def test_a_key_column_of_another_type_may_be_a_category(rows):
    assert category_table(rows, ["number"]) == {"number": ["7", "8", "9"]}
    assert encode(rows, ["number"], {"number": ["9", "7"]})[:, 0].tolist()[::2] == [1.0, 0.0]


def test_rows_in_several_chunks_are_encoded_as_one(rows):
    twice = pa.concat_tables([rows, rows])
    assert encode(twice, ["carrier"], {"carrier": ["AA", "UA"]})[[0, 3], 0].tolist() == [1.0, 1.0]


def test_the_columns_of_a_matrix_lie_one_after_another(rows):
    assert encode(rows, ["speed", "number"], {}).flags.f_contiguous


def test_missing_columns_are_named(rows):
    with pytest.raises(MissingInputError, match=r"\['altitude'\]"):
        encode(rows, ["speed", "altitude"], {})


def test_an_infinite_feature_is_refused_by_name():
    rows = pa.table({"ratio": [1.0, float("inf")], "fine": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"\['ratio'\]"):
        encode(rows, ["ratio", "fine"], {})


def test_types_are_those_of_xgboost():
    assert feature_types(["a", "b"], {"b": []}) == ["q", "c"]

import numpy as np
import pyarrow as pa

from contrail.methods.reasons import as_text, reason_columns, top_features

NAMES = ("speed", "carrier", "load")


def rows(count=3):
    table = pa.table({"load": [0.123456, None, 2.0], "speed": [1.0, 2.0, 12345.678], "carrier": ["AA", "UA", None]})
    return table.slice(0, count)


def contributions():
    return np.array([[0.1, -0.5, 0.2, 9.0], [0.3, 0.1, -0.4, 9.0], [0.0, 0.2, 0.1, 9.0]], np.float32)


def test_reasons_are_the_largest_contributions_by_size_with_their_values():
    found = {name: column.to_pylist() for name, column in reason_columns(rows(), NAMES, contributions(), 2).items()}
    assert found["reason_1"] == ["carrier", "load", "carrier"]
    assert found["reason_1_value"] == ["AA", None, None]
    assert np.allclose(found["reason_1_contribution"], [-0.5, -0.4, 0.2])
    assert found["reason_2"] == ["load", "speed", "load"]
    assert found["reason_2_value"] == ["0.1235", "2", "2"]


def test_the_mean_is_never_a_reason_and_more_reasons_than_features_are_null():
    found = reason_columns(rows(), NAMES, contributions(), 4)
    assert found["reason_3"].to_pylist() == ["speed", "carrier", "speed"]
    assert found["reason_4"].null_count == found["reason_4_value"].null_count == 3
    assert found["reason_4_contribution"].type == pa.float64()


def test_top_features_equal_a_full_sort_of_many_rows():
    sizes = np.random.default_rng(0).normal(size=(500, 40)).astype(np.float32)
    full = np.argsort(-np.abs(sizes), axis=1)[:, :3]
    np.testing.assert_array_equal(top_features(sizes, 3), full)


def test_equal_contributions_go_to_the_first_feature():
    assert top_features(np.zeros((1, 5), np.float32), 2).tolist() == [[0, 1]]


def test_numbers_are_short_and_large_ones_keep_their_whole_part():
    column = pa.chunked_array([pa.array([5.0, 0.123456, 12345.678, -3.14159, -0.0, None, 0.00001234])])
    assert as_text(column).to_pylist() == ["5", "0.1235", "12346", "-3.142", "0", None, "0.00001234"]


def test_no_rows_have_no_reasons():
    found = reason_columns(rows(0), NAMES, np.empty((0, 4), np.float32), 1)
    assert [len(column) for column in found.values()] == [0, 0, 0]

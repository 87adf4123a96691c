"""Rows come in the form that a person wants, within the memory limit, and outlive what opened them."""

import gc

import duckdb
import pyarrow as pa
import pytest
from tests.conftest import Toy
from tests.toy_tables import publish_heavier

import contrail
from contrail.errors import EngineError
from contrail.lake.lake import Lake
from contrail.notebook.opened import OpenPipeline

QUERY = "SELECT * FROM predictions ORDER BY partition_date, parcel"


def test_every_form_has_the_rows_that_a_query_answers(parcels: OpenPipeline, scored: Toy) -> None:
    rows, expected = parcels.sql(QUERY), scored.sql(QUERY)
    assert [tuple(row.values()) for row in rows.arrow().to_pylist()] == expected
    assert rows.relation().fetchall() == expected
    assert rows.batches().read_all() == rows.arrow() == pa.table(rows)
    assert len(rows.pandas()) == len(expected)


def test_several_streams_are_read_at_once(parcels: OpenPipeline) -> None:
    rows = parcels.table("predictions")
    one, other = iter(rows.batches()), iter(rows.batches())
    assert next(one).equals(next(other))
    assert [batch.num_rows for batch in one] == [other_batch.num_rows for other_batch in other]


def test_a_relation_and_a_stream_need_nobody_to_keep_the_rest(scored: Toy) -> None:
    relation = contrail.open("toy").table("predictions").relation()
    stream = contrail.open("toy").table("predictions").batches()
    gc.collect()
    assert len(relation.fetchall()) == sum(batch.num_rows for batch in stream) == 7 * 60


def test_rows_stay_those_of_the_moment_at_which_they_were_opened(parcels: OpenPipeline, scored: Toy) -> None:
    rows = parcels.table("features", days="2024-03-01")
    before = rows.arrow()
    publish_heavier(scored, "2024-03-01")
    assert rows.arrow() == before != parcels.table("features", days="2024-03-01").arrow()


def test_rows_that_exceed_the_memory_limit_are_an_error_and_still_a_stream(parcels: OpenPipeline, scored: Toy) -> None:
    small = OpenPipeline(scored.pipeline, Lake(scored.settings.model_copy(update={"memory_limit": 1000}), "toy"))
    rows = small.table("predictions")
    with pytest.raises(
        EngineError, match=r"predictions of toy: the rows take more than .*\.batches\(\) or \.relation\(\)"
    ):
        rows.arrow()
    assert sum(batch.num_rows for batch in rows.batches()) == 7 * 60


def test_the_session_is_one_and_limited(parcels: OpenPipeline, scored: Toy) -> None:
    setting = "SELECT current_setting('memory_limit'), current_setting('TimeZone')"
    limit, zone = parcels.sql(setting).relation().fetchall()[0]
    with duckdb.connect() as other:
        other.execute(f"SET memory_limit = '{scored.settings.memory_bytes}B'")
        assert (limit, zone) == (other.execute("SELECT current_setting('memory_limit')").fetchall()[0][0], "UTC")

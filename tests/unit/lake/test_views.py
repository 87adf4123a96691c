"""What a person sees of the tables: at a moment, of some days, with outcomes, and without the values of persons."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import publish_heavier, publish_toy

from contrail.config.spec import PipelineSpec
from contrail.errors import MissingInputError
from contrail.lake import datasets
from contrail.lake.labels import labelled_rows
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.lake.sessions import session
from contrail.lake.views import Wanted, create_views
from contrail.partitions import Partitions

_RUN = Provenance("r", "score", "", "", "")
_OUTCOMES = "predictions_with_outcomes"


def with_predictions(toy: Toy) -> None:
    """Three days with predictions; the labels of the last are not mature."""
    publish_toy(toy, "2024-01-01", "2024-01-03")
    rows = toy.lake.scan("features", columns=["partition_date", "ship_date", "parcel"])
    count = rows.num_rows
    dataset = datasets.predictions(toy.spec)
    values: dict[str, Any] = {name: rows.column(name) for name in rows.column_names}
    values |= {"probability": [0.5] * count, "decision": [False] * count, "feature_snapshot": [1] * count}
    values |= {"scored_at": [datetime(2024, 1, 1, tzinfo=UTC)] * count}
    values |= {name: ["1"] * count for name in ("model_name", "model_version", "scoring_run")}
    schema = dataset.arrow_schema()
    made = [pa.array(v, schema.field(n).type) if isinstance(v, list) else v for n, v in values.items()]
    table = pa.table(made, names=list(values))
    for column in schema:
        if column.name not in values:
            table = table.append_column(column.name, pa.nulls(count, column.type))
    toy.lake.publish(dataset, table.select(schema.names), Partitions.parse("2024-01-01", "2024-01-03"), _RUN)


@pytest.fixture
def scored(prepared: Prepare) -> Toy:
    return prepared(with_predictions)


def seen(lake: Lake, spec: PipelineSpec, sql: str, name: str, **wanted: Any) -> list[tuple[Any, ...]]:
    with session(lake.settings) as connection:
        create_views(connection, lake, spec, {name}, Wanted(**wanted))
        return connection.execute(sql).fetchall()


def test_an_outcome_is_the_label_that_training_and_measuring_use(scored: Toy) -> None:
    with labelled_rows(scored.lake, scored.spec, Partitions.parse("2024-01-01", "2024-01-03")) as rows:
        labels = pa.Table.from_batches(rows.stream()).select(["partition_date", "parcel", "label"]).to_pylist()
    found = seen(scored.lake, scored.spec, f"SELECT partition_date, parcel, label FROM {_OUTCOMES}", _OUTCOMES)
    assert len(found) == 180, "each prediction is there once, also without an outcome"
    expected = {(row["partition_date"], row["parcel"]): row["label"] for row in labels}
    assert len(expected) == 120, "the last day is not mature"
    assert {(day, parcel): outcome for day, parcel, outcome in found if outcome is not None} == expected


def test_an_outcome_is_known_from_its_own_moment_on(scored: Toy) -> None:
    then = datetime.now(UTC)
    publish_toy(scored, "2024-01-04", "2024-01-04")
    count = f"SELECT count(label) FROM {_OUTCOMES}"
    assert seen(scored.lake, scored.spec, count, _OUTCOMES) == [(180,)]
    assert seen(scored.lake, scored.spec, count, _OUTCOMES, as_of=then) == [(120,)]


def with_personal(spec: PipelineSpec, table: str, column: str) -> PipelineSpec:
    own = spec.tables[table]
    columns = {**own.columns, column: own.columns[column].model_copy(update={"personal": True})}
    return spec.model_copy(update={"tables": {**spec.tables, table: own.model_copy(update={"columns": columns})}})


def test_outcomes_are_found_by_keys_that_are_not_shown(scored: Toy) -> None:
    spec = with_personal(with_personal(scored.spec, "parcels", "ship_date"), "parcels", "parcel")
    sql = f"SELECT count(ship_date), count(label), sum(label), max(parcel) FROM {_OUTCOMES}"
    ((_, known, late, last),) = seen(scored.lake, spec, sql, _OUTCOMES, personal=True)
    ((ship_dates, also_known, also_late, pseudonym),) = seen(scored.lake, spec, sql, _OUTCOMES)
    assert (known, late) == (also_known, also_late)
    assert ship_dates == 0
    assert pseudonym != last


def test_an_outcome_made_of_what_is_personal_is_not_shown(scored: Toy) -> None:
    spec = with_personal(scored.spec, "deliveries", "delay")
    count = f"SELECT count(label) FROM {_OUTCOMES}"
    assert seen(scored.lake, spec, count, _OUTCOMES) == [(0,)]
    assert seen(scored.lake, spec, count, _OUTCOMES, personal=True) == [(120,)]


def test_a_table_is_shown_at_a_snapshot_and_of_some_days(scored: Toy) -> None:
    before = scored.lake.snapshot_id("features")
    assert before is not None
    publish_heavier(scored, "2024-01-02")
    day = {"features": Partitions.parse("2024-01-02")}
    count, weight = "SELECT count(*) FROM features", "SELECT sum(weight) FROM features"
    assert seen(scored.lake, scored.spec, count, "features", days=day) == [(60,)]
    now, then = (
        seen(scored.lake, scored.spec, weight, "features", days=day, snapshots=pinned)[0][0]
        for pinned in ({}, {"features": before})
    )
    assert now > then


def test_a_moment_whose_snapshot_has_expired_is_not_an_empty_table(scored: Toy) -> None:
    then = datetime.now(UTC)
    few = Lake(scored.settings.model_copy(update={"snapshots_kept": 1}), "toy")
    scored.lake = few
    for _ in range(3):
        publish_heavier(scored, "2024-01-02")
    count = "SELECT count(*) FROM features"
    with pytest.raises(MissingInputError, match=r"toy\.features: the snapshot of .* UTC has expired; the oldest that"):
        seen(few, scored.spec, count, "features", as_of=then)

"""The board of a pipeline: the cells with what made them, and the reasons for which days need a look."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Prepare, Toy
from tests.landed import landed_path, set_field

from contrail.errors import SpecError
from contrail.lake import archive, datasets, upkeep
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.operations.board import board
from contrail.operations.card import card
from contrail.operations.prediction_days import prediction_days
from contrail.operations.prediction_segments import groups
from contrail.operations.status import partition_status
from contrail.operations.tables import table
from contrail.partitions import Partitions
from contrail.stages import RANGE_STAGES

LAST = date(2024, 1, 12)


def _fill(toy: Toy) -> None:
    toy.land("2024-01-01", str(LAST))
    for verb in ("ingest", "validate", "features"):
        toy.run(verb, "2024-01-01", str(LAST))


@pytest.fixture
def filled(prepared: Prepare) -> Toy:
    return prepared(_fill)


def test_the_board_has_the_states_of_status_with_rows_time_and_run(filled: Toy) -> None:
    found = board(filled.lake, filled.pipeline, LAST, 20)
    assert [one.day for one in found.days] == [date(2024, 1, 1) + timedelta(days=n) for n in range(12)]
    for status in partition_status(filled.lake, filled.pipeline, date(2024, 1, 1), LAST):
        cells = found.days[(status.partition - date(2024, 1, 1)).days].cells
        assert {stage: cell.state for stage, cell in zip(RANGE_STAGES, cells, strict=True)} == status.stages
    features = found.days[0].cells[RANGE_STAGES.index("features")]
    assert (features.rows, features.model) == (60, "")
    assert features.run
    assert features.at is not None
    assert features.seconds is not None
    assert found.concerns == ()
    assert found.commands == ("contrail ingest -p toy --from 2024-01-12 --to 2024-01-12",) or found.commands[
        0
    ].startswith("contrail train")


def test_days_of_one_reason_are_one_concern_the_newest_first(filled: Toy) -> None:
    whole = landed_path(filled, "parcels", "2024-01-05")
    landed_path(filled, "parcels", "2024-01-05", revision=2).write_bytes(whole.read_bytes()[:300])
    with pytest.raises(Exception, match="truncated_gzip"):
        filled.run("ingest", "2024-01-05")
    lake = Lake(filled.settings, "toy")
    found = board(lake, filled.pipeline, LAST, 12)
    (concern,) = found.concerns
    assert (concern.stage, concern.state, concern.why) == ("ingest", "refused", "parcels: truncated_gzip")
    assert (concern.days, concern.count) == (("2024-01-05",), 1)
    shown = card(lake, filled.pipeline, date(2024, 1, 5), "ingest")
    assert shown.sentence.startswith("It was refused, because of parcels: truncated_gzip.")
    assert "60 rows are published" in shown.sentence
    assert shown.refusals[0].rule == "truncated_gzip"


def test_a_day_has_the_version_of_its_rows_where_one_commit_is_of_two_champions(answered: Toy) -> None:
    lake, days = answered.lake, Partitions.parse("2024-02-07", "2024-02-08")
    rows = lake.scan("predictions", days).to_pandas()
    rows["model_version"] = np.where(rows["partition_date"] == days.start, "3", "4")
    dataset = datasets.predictions(answered.spec)
    both = Provenance("as-of", "score", "", "", "", extra={"model_version": "3,4"})
    lake.publish(dataset, pa.Table.from_pandas(rows, schema=dataset.arrow_schema(), preserve_index=False), days, both)
    lake = Lake(answered.settings, "toy")
    score = [one.cells[RANGE_STAGES.index("score")] for one in board(lake, answered.pipeline, days.end, 3).days]
    assert [cell.model for cell in score] == ["1", "3", "4"]
    assert card(lake, answered.pipeline, days.start, "score").cell.model == "3"


def test_a_span_ends_where_the_pipeline_does(filled: Toy) -> None:
    found = board(filled.lake, filled.pipeline, date(2031, 1, 1), 3)
    assert found.last == filled.spec.last_partition == found.days[-1].day
    assert len(found.days) == 3
    with pytest.raises(SpecError, match="no partition 2031-01-01"):
        card(filled.lake, filled.pipeline, date(2031, 1, 1), "score")


def test_without_predictions_there_is_nothing_to_draw(filled: Toy) -> None:
    found = prediction_days(filled.lake, filled.pipeline)
    assert (found.scored, found.measured, found.drift, found.marks, found.first) == ((), (), (), (), None)
    with pytest.raises(SpecError, match=r"no segment 'weight'\. Segments: depot"):
        groups(filled.lake, filled.pipeline, "weight", Partitions(LAST, LAST))


def test_older_history_that_is_lost_is_told_and_hides_nothing_else(
    filled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LISTED", 1)
    for weight in ("7", "8", "9"):
        set_field(filled, "parcels", "2024-01-05", 4, "weight", weight)
        filled.run("ingest", "2024-01-05")
    lake = Lake(filled.settings, "toy")
    place = archive.place_in(lake.table("raw_parcels").metadata)
    assert place is not None
    Path(place.removeprefix("file://")).unlink()
    archive._read.cache_clear()
    found = board(lake, filled.pipeline, LAST, 12)
    (lost,) = found.lost
    assert "raw_parcels: the file of its earlier snapshots is missing or damaged" in lost
    assert "contrail recover -p toy" in lost
    assert card(lake, filled.pipeline, date(2024, 1, 1), "ingest").cell.rows == 60
    details = table(lake, filled.pipeline, "raw_parcels")
    assert (details.lost, details.snapshots_kept) == (lost, 1)

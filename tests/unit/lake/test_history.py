"""History: provenance, lineage and going back."""

import json
import re
from pathlib import Path

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, contents, provenance, rows

from contrail.errors import DataError
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance


def test_history_carries_provenance(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-9"))
    (entry,) = lake.history("items")
    assert entry.provenance.run_id == "run-9"
    assert entry.provenance.stage == "ingest"
    assert entry.commit.label == "2024-01-01"
    assert entry.provenance.code_revision == "abc123"
    assert entry.provenance.inputs == {"raw_items": 7}
    assert entry.provenance.extra["model_version"] == "4"


def test_rollback_and_forward(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1], "red"), [DAY1], provenance())
    second = lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance())
    lake.rollback("items", first)
    assert contents(lake) == [(DAY1, "red", 3)]
    lake.rollback("items", second)
    assert contents(lake) == [(DAY1, "blue", 3)]
    with pytest.raises(DataError, match="no snapshot 42"):
        lake.rollback("items", 42)


def test_the_lineage_leaves_out_what_was_rolled_back(lake: Lake) -> None:
    assert lake.lineage("items").commits == ()
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance("run-1"))
    second = lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance("run-2"))
    assert [commit.snapshot for commit in lake.lineage("items").commits] == [second, first]
    lake.rollback("items", first)
    maker = lake.lineage("items").maker(DAY2)
    assert maker is not None
    assert (maker.snapshot, maker.provenance.run_id, maker.job_rows) == (first, "run-1", 6)


def test_the_json_of_an_entry_is_that_of_the_golden_file(lake: Lake) -> None:
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance("run-1"))
    lake.tag("items", first, "training")
    second = lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], Provenance("run-2", "ingest", "hash", "abc123", "lock"))
    text = json.dumps([entry.as_json() for entry in lake.history("items")])
    for number, snapshot in enumerate((first, second), start=1):
        text = text.replace(str(snapshot), str(number))
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "<moment>", text)
    assert text + "\n" == (Path(__file__).parent / "golden" / "history.json").read_text()

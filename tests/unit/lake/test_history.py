"""History: provenance and lineage."""

import pytest
from tests.unit.lake.shop import DAY1, DAY2, ITEMS, provenance, rows

from contrail.config.settings import current_person
from contrail.lake.lake import Lake


def test_history_carries_provenance(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-9"))
    (entry,) = lake.history("items")
    assert entry.provenance.run_id == "run-9"
    assert entry.provenance.stage == "ingest"
    assert entry.commit.label == "2024-01-01"
    assert entry.provenance.code_revision == "abc123"
    assert entry.provenance.inputs == {"raw_items": 7}
    assert entry.provenance.extra["model_version"] == "4"


def test_the_lineage_leaves_out_what_was_rolled_back(lake: Lake) -> None:
    assert lake.lineage("items").commits == ()
    first = lake.publish(ITEMS, rows([DAY1, DAY2]), [DAY1, DAY2], provenance("run-1"))
    second = lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance("run-2"))
    assert [commit.snapshot for commit in lake.lineage("items").commits] == [second, first]
    lake.rollback("items", first)
    maker = lake.lineage("items").maker(DAY2)
    assert maker is not None
    assert (maker.snapshot, maker.provenance.run_id, maker.job_rows) == (first, "run-1", 6)


def test_the_lineage_says_when_its_beginning_has_expired(lake: Lake) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance())
    assert lake.lineage("items").complete
    lake.settings = lake.settings.model_copy(update={"snapshots_kept": 1})
    lake.publish(ITEMS, rows([DAY2]), [DAY2], provenance())
    lake.publish(ITEMS, rows([DAY2], "blue"), [DAY2], provenance())
    assert not lake.lineage("items").complete
    assert not lake.lineage("items").knows(None), "a commit that has expired may have come after"


def test_every_snapshot_says_who_started_the_work(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-1"))
    monkeypatch.setenv("CONTRAIL_PERSON", "anna")
    lake.publish(ITEMS, rows([DAY1], "blue"), [DAY1], provenance("run-2"))
    newest, oldest = lake.history("items")
    assert (newest.provenance.person, newest.as_dict()["person"]) == ("anna", "anna")
    monkeypatch.delenv("CONTRAIL_PERSON")
    assert oldest.provenance.person == current_person()
    login, _, machine = current_person().partition("@")
    assert login
    assert machine


def test_the_same_work_of_another_person_is_the_same_work(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-1"))
    monkeypatch.setenv("CONTRAIL_PERSON", "anna")
    again = lake.publish(ITEMS, rows([DAY1]), [DAY1], provenance("run-2"))
    assert again == first
    assert len(lake.history("items")) == 1

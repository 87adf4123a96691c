"""Replacing partitions in BigQuery: what is noted, and the transaction, without a call."""

from datetime import date

from contrail.adapters.bigquery_replacement import Publication, Replacement, transaction_sql
from contrail.lake import drift_records
from contrail.lake.warehouse import Fingerprint


def test_a_partition_that_has_become_empty_is_deleted_and_noted() -> None:
    noted = Publication("drift", 42, Fingerprint(), "r", "j-0")
    wanted = Replacement(drift_records.drift(None), None, {date(2024, 1, 5): noted}, ())  # type: ignore[arg-type]
    sql = transaction_sql(wanted, "p.d.t", "p.d.publications")
    assert "DELETE FROM `p.d.t`" in sql
    assert sql.count("INSERT INTO") == 1


def test_a_replacement_notes_the_job_that_makes_it() -> None:
    day, noted = date(2024, 1, 5), Publication("drift", 42, Fingerprint(3, 7), "r")
    wanted = Replacement(drift_records.drift(None), None, {day: noted}, ()).by("job-1")  # type: ignore[arg-type]
    assert wanted.publications[day].job == "job-1"
    row = {"published": "drift", "lake_snapshot": 42, "row_count": 3, "checksum": 7, "job": "job-1", "run_id": "r"}
    assert Publication.of(row) == wanted.publications[day]

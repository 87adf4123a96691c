"""A notebook reads what the command line reads, in the same words, and changes nothing."""

import doctest
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Toy
from tests.toy_tables import publish_heavier
from tests.unit.lake.test_sql import everything

import contrail
from contrail.errors import ContrailError, MissingInputError, SpecError
from contrail.notebook import models, opened, rows
from contrail.notebook.opened import OpenPipeline
from contrail.partitions import Partitions

EXAMPLES = [contrail.open, opened.OpenPipeline, rows.Rows, models.Model, models.Decision]


def test_importing_contrail_imports_no_library() -> None:
    script = "import sys, typing; before = set(sys.modules); import contrail; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["contrail"]


def test_each_example_runs(parcels: OpenPipeline) -> None:
    for one in EXAMPLES:
        for found in doctest.DocTestFinder().find(one, one.__name__, globs={"parcels": parcels}):
            said: list[str] = []
            doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found, out=said.append)
            assert not said, "".join(said)


def test_every_public_function_is_documented() -> None:
    for one in EXAMPLES[1:]:
        public = [getattr(one, name) for name in vars(one) if not name.startswith("_")]
        assert all(member.__doc__ for member in (one, *public))


def test_reading_changes_no_file(parcels: OpenPipeline, scored: Toy) -> None:
    parcels.model()  # fetched once, as every command does
    before = everything(scored.settings.home_path)
    parcels.table("predictions_with_outcomes").arrow()
    parcels.sql("FROM features").relation().fetchall()
    assert parcels.decision()._repr_html_()
    assert parcels.receipt("2024-03-01", parcel=3)._repr_html_()
    assert parcels.model()._repr_html_()
    assert everything(scored.settings.home_path) == before


def test_a_table_is_read_at_a_snapshot_and_as_of_a_moment(parcels: OpenPipeline, scored: Toy) -> None:
    before, then = parcels.history("features")[0].snapshot, datetime.now(UTC)
    publish_heavier(scored, "2024-03-01")
    now = weight(parcels)
    assert weight(parcels, snapshot=before) == weight(parcels, as_of=then) < now
    assert weight(parcels, as_of=then.replace(tzinfo=None).isoformat()) < now


def weight(parcels: OpenPipeline, **at: Any) -> float:
    return float(parcels.table("features", days=date(2024, 3, 1), **at).pandas()["weight"].sum())


@pytest.mark.parametrize(
    "days", ["2024-03-01..2024-03-02", Partitions.parse("2024-03-01", "2024-03-02")], ids=["text", "partitions"]
)
@pytest.mark.parametrize("name", ["predictions", "predictions_with_outcomes", "features"])
def test_days_limit_a_table_and_a_view(parcels: OpenPipeline, name: str, days: Any) -> None:
    assert parcels.table(name, days=days).arrow().num_rows == 120


WRONG: dict[str, tuple[Callable[[OpenPipeline], Any], type[ContrailError], str]] = {
    "pipeline": (lambda _: contrail.open("toi"), SpecError, "no pipeline 'toi' in .*did you mean 'toy'"),
    "table": (lambda p: p.table("featurs"), SpecError, "no table 'featurs' in toy; did you mean 'features'"),
    "described": (lambda p: p.columns("featurs"), SpecError, "no table 'featurs' in toy; did you mean 'features'"),
    "column": (lambda p: p.table("features", columns=["wait"]), SpecError, 'Candidate bindings: "weight"'),
    "in SQL": (lambda p: p.sql("FROM featurs"), SpecError, "no table 'featurs' in toy; did you mean 'features'"),
    "writing": (lambda p: p.sql("DROP VIEW features"), SpecError, "It never changes a table or a file"),
    "day": (lambda p: p.table("predictions", days="2025-01-01"), MissingInputError,
            r"toy: predictions has no rows of 2025-01-01; it has 2024-02-25\.\.2024-03-02\. .*contrail status"),
    "date": (lambda p: p.table("predictions", days="March"), SpecError, "not a date"),
    "moment": (lambda p: p.sql("SELECT 1", as_of="yesterday"), SpecError, "as_of yesterday: write a time as"),
    "snapshot": (lambda p: p.table("features", snapshot=42), MissingInputError, r"toy\.features has no snapshot 42"),
    "version": (lambda p: p.model(9), MissingInputError, "no model version 9.*Versions: 1"),
    "alias": (lambda p: p.decision("boss"), MissingInputError, "'boss' names no model of 'toy': use champion"),
    "key": (lambda p: p.receipt("2024-03-01", parcle=1), SpecError, "'parcle' is no column of the key.*'parcel'"),
    "several": (lambda p: p.receipt("2024-03-01"), SpecError, "60 predictions of 2024-03-01 have no key given.*Name also"),
    "no row": (lambda p: p.receipt("2024-03-01", parcel=99), MissingInputError, "no prediction of 2024-03-01 with parcel=99"),
    "receipt": (lambda p: p.receipt("2025-01-01", parcel=1), MissingInputError, "no predictions of 2025-01-01; it has 2024"),
}  # fmt: skip


def test_errors_are_those_of_the_command_line(parcels: OpenPipeline) -> None:
    for name, (wrong, kind, words) in WRONG.items():
        with pytest.raises(kind, match=words):
            wrong(parcels)
            pytest.fail(name)


def test_a_table_that_has_no_rows_yet_is_empty(parcels: OpenPipeline) -> None:
    assert parcels.table("corrections").pandas().empty


def test_pages_show_what_data_says_as_text(parcels: OpenPipeline, tmp_path: Path) -> None:
    found = parcels.sql("SELECT '<script>alert(1)</script>' AS \"<b>\"")._repr_html_()
    assert "<script>" not in found
    assert "<b>" not in found
    assert "&lt;script&gt;" in found

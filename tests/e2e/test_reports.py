"""No page runs what data brought along, or calls anybody: tried in a real browser with texts that would."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import great_expectations.expectations as gxe
import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser
from upath import UPath

from contrail.adapters.checks import Checks, Verdict
from contrail.adapters.judged_rows import Rows
from contrail.config.pipeline import load_pipeline
from contrail.methods.decision_record import SegmentRow
from contrail.reports.contracts import TableReport, write_report
from contrail.reports.decision import render_decision
from contrail.reports.difference import render_difference
from contrail.reports.drift import DriftPage, ReportLine, Sample, write_drift_report
from tests.unit.reports.hostile import HOSTILE
from tests.unit.reports.test_decision import RECORD as DECISION
from tests.unit.reports.test_difference import DAY, compared, predictions

pytestmark = [pytest.mark.slow]
ALL = " ".join(HOSTILE)


def decision(folder: Path) -> None:
    row = SegmentRow(group=ALL, rows=5, label_mean=0.2, challenger={"auc": 0.6}, champion={})
    record = DECISION.model_copy(update={"title": ALL, "reason": ALL, "segments": {ALL: (row,)}})
    (folder / "page.html").write_text(render_decision(record), encoding="utf-8")


def difference(folder: Path) -> None:
    day = DAY.model_copy(update={"versions_after": ALL})
    record = compared(predictions(day)).model_copy(update={"model": ALL, "id": ALL})
    (folder / "page.html").write_text(render_difference(record, load_pipeline("toy").spec), encoding="utf-8")


def drift(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pa.table({"delay": rng.normal(size=300), "carrier": rng.choice([*HOSTILE, "AA"], 300)})
    lines = [ReportLine(ALL, "drift", "3", ALL, ALL)]
    page = DriftPage(
        ALL,
        "drift",
        ALL,
        ALL,
        lines,
        reference=Sample(rows, len(rows)),
        current=Sample(rows, len(rows)),
        categories=["carrier"],
    )
    write_drift_report(UPath(folder / "page.html"), page)


def contract(folder: Path) -> None:
    checks = Checks()
    rows = pa.table({"_row": range(len(HOSTILE)), "code": list(HOSTILE)})
    rules = {"code": gxe.ExpectColumnValuesToBeInSet(column="code", value_set=["AA", *HOSTILE[:2]], description=ALL)}
    connection = duckdb.connect()
    connection.register("codes", rows)
    verdicts = checks.evaluate("flights rows", Rows(connection, "codes", "_row"), rules)
    report = TableReport(ALL, 4, 3, {"range": 1}, [*verdicts, Verdict("code", ALL, 4, 1, {1: ALL})], [], [ALL])
    page, _ = write_report(UPath(folder), "run", ALL, [report], checks, kept=2)
    Path(page).rename(folder / "page.html")


@pytest.mark.parametrize("make", [decision, difference, drift, contract])
def test_hostile_texts_are_only_shown(
    make: Callable[[Path], None], toy_home: Path, tmp_path: Path, chromium: Browser
) -> None:
    make(tmp_path)
    pages = sorted(tmp_path.rglob("*.html"))
    assert tmp_path / "page.html" in pages
    for path in pages:
        page = chromium.new_page()
        called: list[str] = []
        page.on("request", lambda request, called=called: called.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_timeout(300)
        assert page.title() != "taken", path
        if path.name == "page.html":  # Great Expectations' own pages load their styles, as ours says
            assert page.evaluate("document.querySelectorAll('[onerror], [onload], a[href^=javascript]').length") == 0
            assert [url for url in called if not url.startswith(("file:", "data:", "blob:"))] == []
            assert "onerror=" in page.locator("body").inner_text()
            page.screenshot(path=tmp_path / "page.png")
        else:
            page.screenshot(path=path.with_suffix(".png"))
        page.close()

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from contrail.reports.drift import DriftPage, ReportLine, Sample, shortened, write_drift_report


def rows(seed: int, shift: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "delay": rng.normal(size=300) + shift,
            "weekend": pa.array(rng.integers(0, 2, 300)),
            "carrier": rng.choice(["AA", "<UA>"], 300),
            "empty": pa.nulls(300, pa.float64()),
        }
    )


PAGE = DriftPage(
    title="Late & lost",
    verdict="drift",
    finding="3 of <4> days",
    summary="Days against the window.",
    lines=[ReportLine("2013-11-05", "drift", "3", "9.1 (limit 4.0)", "delay, a<b")],
    reference=Sample(rows(0), 218_436),
    current=Sample(rows(1, 2.0), 300),
    categories=["carrier"],
)


@pytest.mark.slow
def test_the_page_has_the_decision_above_the_charts(tmp_path: Path) -> None:
    path = UPath(tmp_path / "report.html")
    write_drift_report(path, PAGE)
    page = path.read_text(encoding="utf-8")
    head = page[page.index("<div class='contrail'>") : page.index("</div>", page.index("<div class='contrail'>"))]
    assert "<h1>Late &amp; lost</h1><p><span class='drift'>drift</span>: 3 of &lt;4&gt; days</p>" in head
    assert "<td>2013-11-05</td><td class='drift'>drift</td><td>3</td><td>9.1 (limit 4.0)</td>" in head
    assert "<td>delay, a&lt;b</td>" in head
    assert "Left out, because they have no values: empty." in head
    assert (
        "by Evidently from all 300 rows of these days and a sample of 300 of 218,436 rows of the four weeks before"
        in head
    )
    assert page.index("<body") < page.index(head)
    assert "<script src" not in page, "the page must open without a network"


@pytest.mark.slow
def test_evidently_draws_each_feature_that_moved_and_judges_none(tmp_path: Path) -> None:
    path = UPath(tmp_path / "report.html")
    write_drift_report(path, PAGE)
    page = path.read_text(encoding="utf-8")
    assert all(f"Drift in column '{name}'" in page for name in ("delay", "weekend", "carrier"))
    assert "Drift in column 'empty'" not in page
    assert "Drift is detected for" not in page
    assert "Dataset Drift is" not in page
    assert "Data drift detected" not in page
    assert "Data drift not detected" not in page
    assert len(page) < 4_500_000


def test_a_page_without_a_feature_that_moved_is_small_and_says_so(tmp_path: Path) -> None:
    path = UPath(tmp_path / "report.html")
    write_drift_report(path, replace(PAGE, verdict="ok", reference=Sample(), current=Sample()))
    page = path.read_text(encoding="utf-8")
    assert "No feature was unusual on these days" in page
    assert len(page) < 5_000


def test_a_day_names_five_features_and_counts_the_rest() -> None:
    assert shortened(["a", "b", "c", "d", "e"]) == "a, b, c, d, e"
    assert shortened(["a", "b", "c", "d", "e", "f", "g"]) == "a, b, c, d, e and 2 more"
    assert shortened([]) == ""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from contrail.reports.drift import ReportLine, sample, write_drift_report


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


@pytest.mark.slow
def test_the_page_has_the_decision_above_the_charts(tmp_path: Path) -> None:
    path = UPath(tmp_path / "report.html")
    lines = [ReportLine("2013-11-05", "drift", "3", "9.1 (limit 4.0)", "delay, a<b")]
    write_drift_report(path, "Late & lost", "Days against the window.", lines, rows(0), rows(1, 2.0), ["carrier"])
    page = path.read_text(encoding="utf-8")
    head = page[page.index("<div class='contrail'>") : page.index("</div>", page.index("<div class='contrail'>"))]
    assert "<h1>Late &amp; lost</h1><p>Days against the window.</p>" in head
    assert "<td>2013-11-05</td><td class='drift'>drift</td><td>3</td><td>9.1 (limit 4.0)</td>" in head
    assert "<td>delay, a&lt;b</td>" in head
    assert "Left out, because they have no values: empty." in head
    assert all(f'"column_name": "{name}"' in page for name in ("delay", "weekend", "carrier"))
    assert '"column_name": "empty"' not in page
    assert page.index("<body") < page.index(head)
    assert "<script src" not in page, "the page must open without a network"


def test_samples_are_bounded_spread_over_the_days_and_repeatable() -> None:
    rows = pa.table({"n": range(100_000)})
    found = sample(rows)
    assert len(found) == 5_000
    assert found["n"][0].as_py() == 0
    assert found["n"][-1].as_py() == 99_999
    assert found.equals(sample(rows))

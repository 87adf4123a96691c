"""The page of a backfill's difference."""

import pytest
from tests.conftest import Toy

from contrail.reports.backfill_record import Changes, DayChanges, Difference, Record, TableDifference
from contrail.reports.difference import chart, render_difference, summary

DAY = DayChanges.model_validate({
    "partition": "2024-01-05", "rows_before": 4, "rows_after": 5, "added": 2, "removed": 1, "changed": 3,
    "mean_before": 0.2, "mean_after": 0.4, "mean_shift": 0.2, "shift_p05": -0.1, "shift_p50": 0.1, "shift_p95": 0.3,
    "largest_shift": 0.4, "versions_before": "1", "versions_after": "2", "flipped_to_true": 2, "flipped_to_false": 1,
})  # fmt: skip


def total(day: DayChanges) -> Changes:
    return Changes(**{name: value for name, value in day.as_dict().items() if name != "partition"})


def predictions(*days: DayChanges) -> Difference:
    return Difference(predictions=TableDifference(before=7, after=8, total=total(days[0]), days=days))


RECORD = Record(
    id="b1",
    pipeline="toy",
    partitions="2024-01-05..2024-01-06",
    stages=("score",),
    model="<b>2</b>",
    publish="whole",
    started_at="2024-02-01T00:00:00+00:00",
    before={"predictions": 7},
    finished_at="2024-02-01T00:01:00+00:00",
    difference=predictions(DAY),
)


def compared(difference: Difference) -> Record:
    return RECORD.model_copy(update={"difference": difference})


def test_the_difference_comes_first_and_text_is_escaped(toy: Toy) -> None:
    page = render_difference(RECORD, toy.spec)
    body = page[page.index("<main>") :]
    assert "Backfill of Late parcels, 2024-01-05 to 2024-01-06" in body
    assert body.index("2 rows added, 1 removed, 3 changed, 5 now; mean score shift +0.2000; 3 decisions flipped.") < (
        body.index("<table>")
    )
    assert "1 → 2" in body
    assert "snapshot 7 → 8" in body
    assert "&lt;b&gt;2&lt;/b&gt;" in body
    assert "://" not in page, "self-contained"


def test_a_regression_has_no_decisions(toy: Toy) -> None:
    decided = ("flipped_to_true", "flipped_to_false")
    day = DayChanges(**{name: value for name, value in DAY.as_dict().items() if name not in decided})
    page = render_difference(compared(predictions(day)), toy.spec.model_copy(update={"task": "regression"}))
    assert "flipped" not in page
    assert "Mean prediction a day" in page


def test_what_was_not_there_is_a_dash(toy: Toy) -> None:
    nothing = {"mean_before": None, "mean_shift": None, "versions_before": None}
    page = render_difference(compared(predictions(DAY.model_copy(update=nothing))), toy.spec)
    assert '<td class="n">–</td>' in page
    assert "mean score shift" not in page


def test_a_backfill_of_other_stages_says_that_there_is_nothing_to_compare(toy: Toy) -> None:
    assert "nothing to compare" in render_difference(compared(Difference()), toy.spec)


def test_features_have_rows_and_changed_values(toy: Toy) -> None:
    names = ("rows_before", "rows_after", "added", "removed", "changed")
    counts = {name: value for name, value in DAY.as_dict().items() if name in names}
    days = (DayChanges(partition="2024-01-05", **counts),)
    features = TableDifference(before=None, after=3, total=Changes(**counts), days=days)
    page = render_difference(compared(Difference(features=features)), toy.spec)
    assert "Features a day" in page
    assert "Predictions a day" not in page
    assert summary(Difference(features=features)) == ["features: 2 rows added, 1 removed, 3 changed, 5 now."]


def test_the_chart_spans_the_days_and_the_scores() -> None:
    days = [
        DAY.model_copy(update={"mean_before": 0.0, "mean_after": 1.0}),
        DAY.model_copy(update={"mean_before": None, "mean_after": 0.5}),
    ]
    found = chart(days)
    assert found is not None
    assert found.after == "8.0,8.0 952.0,95.0"
    assert found.before == "4.0,182.0 12.0,182.0", "one day alone is a short line"
    assert (found.low, found.high) == (0.0, 1.0)
    assert chart([DAY.model_copy(update={"mean_before": None, "mean_after": None})]) is None


@pytest.mark.parametrize("days", [1, 366])
def test_a_page_of_any_length(toy: Toy, days: int) -> None:
    assert render_difference(compared(predictions(*[DAY] * days)), toy.spec).count("<td>2024-01-05</td>") == days

"""Texts of people, specs and files are printed as they are: Rich takes none for its markup, and none stops a command."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from rich.console import Console
from tests.conftest import Toy

from contrail.cli import backfills, housekeeping, in_sandbox, sandboxes
from contrail.cli.printing import err, out
from contrail.config.prices import PriceTable
from contrail.dispatch.receipts import Month, Receipt
from contrail.lake import sandbox_records
from contrail.operations.backfill_result import PartitionGroup, PlanSummary, StageSummary
from contrail.operations.sandboxes import SandboxWork

LOST, WRONG = "Sales [eu]", "x [/y]"  # the first would vanish, the second raise MarkupError
GROUP = PartitionGroup.model_construct(
    partitions="2024-02-10", days=1, rows=1, published=1, action="replace", why=WRONG, version=LOST, runs=(WRONG,)
)
SCORE = StageSummary.model_construct(
    stage="score", jobs=(), partitions=(GROUP,), estimated_seconds=None, estimated_from=LOST
)
PLAN = PlanSummary(
    pipeline="toy", partitions="2024-02-10", days=1, publish="whole", model="3", models=(), stages=(SCORE,),
    nothing_to_do=False, expected_difference={}, estimated_minutes=None, cost=WRONG,
)  # fmt: skip
PRICES = PriceTable(file=LOST, read_on=date(2026, 1, 1), region=WRONG, currency="EUR", sources=["https://a.example"])
RECEIPT = Receipt.model_construct(
    stage="score", partitions="2024-02-10", target=LOST, state="open", note=WRONG, estimated_from="", seconds=None,
    estimate=None, cost=None, submitted_at=datetime(2026, 1, 1, tzinfo=UTC), currency="EUR", pipeline="toy",
)  # fmt: skip


def plan(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    class Planned:
        pipeline, nothing_to_do = "toy", False

        def summary(self) -> PlanSummary:
            return PLAN

    backfills.print_plan(Planned(), out)  # type: ignore[arg-type]


def work(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    sandboxes._tell(SandboxWork(stages=(), days=(), different=(LOST, WRONG), versions={}))


def assumed(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    housekeeping._print_assumed("toy", PRICES, [(WRONG, 1.0)], False)


def month(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    housekeeping._print_month("toy", Month("2026-01", [RECEIPT], None, "EUR"))


def sandbox(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    class Record:
        name, pipeline, made_by, made_at = LOST, "toy", WRONG, datetime(2026, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(sandbox_records, "find", lambda *_: Record())
    in_sandbox._tell("toy", makes=True)


@pytest.mark.parametrize("show", [plan, work, assumed, month, sandbox], ids=lambda show: show.__name__)
def test_brackets_are_printed_as_they_are(
    show: Callable[[Toy, pytest.MonkeyPatch], None], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    for console in (out, err):
        monkeypatch.setattr(console, "_file", file)
        monkeypatch.setattr(console, "_width", 300)
    show(toy, monkeypatch)
    said = " ".join(file.getvalue().split())
    assert LOST in said
    assert WRONG in said


def test_the_texts_are_markup_to_rich() -> None:
    file = io.StringIO()
    Console(file=file).print(LOST)
    assert "[eu]" not in file.getvalue()

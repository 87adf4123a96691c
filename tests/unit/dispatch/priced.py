"""An environment with prices and a budget, and jobs that are reserved and ended in it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contrail.config.settings import Settings, settings
from contrail.config.targets import DispatchSettings, VertexTarget
from contrail.dispatch import budget
from contrail.dispatch.payload import Job
from contrail.dispatch.receipts import Receipt, Receipts
from contrail.methods.cost import MachineUsage

NOVEMBER = datetime(2026, 11, 21, 6, tzinfo=UTC)
PLACE = {"project": "p", "region": "r", "service_account": "a", "image": "i", "timeout_minutes": 60}
GPU = {
    "kind": "vertex",
    "machine_type": "g2-standard-8",
    "accelerator_type": "NVIDIA_L4",
    "accelerator_count": 1,
    **PLACE,
}
PRICES = """
read_on: 2026-01-01
region: here
currency: EUR
sources: ["https://x"]
vertex: {machines: {g2-standard-8: {hour: 6}}}
"""


def made(tmp_path: Path, target: dict[str, Any] = GPU, **changed: Any) -> Settings:
    values = {
        "jobs_uri": f"file://{tmp_path}/jobs", "stages": {"train": "gpu", "features": "gpu"}, "targets": {"gpu": target},
        "prices": tmp_path / "prices.yaml", **changed,
    }  # fmt: skip
    return settings().model_copy(update={"dispatch": DispatchSettings.model_validate(values)})


def receipts_of(current: Settings, pipeline: str = "toy") -> Receipts:
    found = Receipts.of(current, pipeline)
    assert found is not None
    return found


def job(work: str, attempt: int = 1, stage: str = "train", days: str = "2024-01-05") -> Job:
    return Job((stage,), "toy", stage, days, "run", work, "", attempt)


def reserve(current: Settings, wanted: Job, now: datetime = NOVEMBER) -> Receipt:
    target = current.dispatch.target_of("toy", wanted.stage)
    assert isinstance(target, VertexTarget)
    return budget.reserve(receipts_of(current), wanted, target, now)


def end(current: Settings, receipt: Receipt, minutes: float, state: Any = "succeeded") -> Receipt:
    found = receipts_of(current)
    used = MachineUsage(machine_type="g2-standard-8", seconds=minutes * 60)
    return found.write(receipt.closed(state, used, minutes * 60 + 30, found.prices))

"""Which processor this machine has, and how many threads XGBoost takes of those that a training asks for.

Both can change the last bits of a sum, and so the bytes of a model.
"""

import os
import platform
from pathlib import Path

from contrail.config.settings import openmp_thread_limit

_ROOT = Path("/")


def processor(root: Path = _ROOT) -> str:
    """Name the processor: its instruction set, and its model where Linux tells it.

    Args:
        root: The file system in which ``/proc`` lies.
    """
    told = root / "proc/cpuinfo"
    lines = told.read_text(errors="replace").splitlines() if told.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()}, {model}" if model else platform.machine()


def processors() -> int:
    """Return how many processors this process may use, as the system tells it; without the limits of a control group."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_threads(wanted: int, root: Path = _ROOT) -> int:
    """Return how many threads XGBoost takes: it obeys OpenMP's limit, and the processors of a control group.

    Args:
        wanted: XGBoost's parameter ``nthread``; 0 means all.
        root: The file system in which ``/sys`` lies.
    """
    limits = (openmp_thread_limit(), _of_group(root / "sys/fs/cgroup"))
    asked = wanted if wanted > 0 else processors()
    return min([asked, *(limit for limit in limits if limit)])


def _of_group(mount: Path) -> int | None:
    """The processors of the control group, as XGBoost counts them: parts count in the second version alone."""
    second, first = mount / "cpu.max", mount / "cpu"
    if second.exists():
        quota, period, up = *second.read_text().split(), True
    elif (first / "cpu.cfs_quota_us").exists() and (first / "cpu.cfs_period_us").exists():
        quota, period, up = *((first / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")), False
    else:
        return None
    if not (quota.isdigit() and period.isdigit() and int(quota) and int(period)):
        return None  # no limit: "max", or -1
    return max(1, -(-int(quota) // int(period)) if up else int(quota) // int(period))

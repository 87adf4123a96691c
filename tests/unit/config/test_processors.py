"""Which processor it is, and how many threads XGBoost takes of it."""

import platform
from pathlib import Path

import pytest

from contrail.config.processors import processor, usable_threads


def test_the_processor_is_named_with_its_model_where_linux_tells_it(tmp_path: Path) -> None:
    assert processor(tmp_path) == platform.machine()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: A Fast One\nmodel name\t: A Fast One\n")
    assert processor(tmp_path) == f"{platform.machine()}, A Fast One"


@pytest.mark.parametrize(
    ("files", "limit", "taken"),
    [
        ({}, None, 8),
        ({"cpu.max": "max 100000"}, None, 8),
        ({"cpu.max": "200000 100000"}, None, 2),
        ({"cpu.max": "250000 100000"}, None, 3),
        ({"cpu.max": "50000 100000"}, None, 1),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, None, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, 8),
        ({}, "3", 3),
        ({}, "0", 8),
        ({"cpu.max": "400000 100000"}, "3", 3),
    ],
)
def test_threads_obey_the_control_group_and_openmps_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limit: str | None, taken: int
) -> None:
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    if limit:
        monkeypatch.setenv("OMP_THREAD_LIMIT", limit)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    assert usable_threads(8, tmp_path) == taken

import os
from pathlib import Path

import pytest

from contrail.config.memory import usable
from contrail.config.settings import settings
from contrail.errors import SpecError

_GB = 10**9


def _limit(root: Path, groups: str, files: dict[str, str]) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/jobs/one\n", {"jobs/one/memory.max": str(_GB)}),
        ("0::/jobs/one\n", {"jobs/one/memory.max": "max", "jobs/memory.max": str(_GB)}),
        ("0::/jobs/one\n", {"jobs/one/memory.max": str(2 * _GB), "memory.max": str(_GB)}),
        ("0::/of/the/host\n", {"memory.max": str(_GB)}),
        ("4:cpu,memory:/one\n2:devices:/one\n", {"memory/one/memory.limit_in_bytes": str(_GB)}),
    ],
    ids=["own", "the group above", "the smaller", "a container's", "the first version"],
)
def test_the_smallest_limit_of_the_control_groups_counts(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    _limit(tmp_path, groups, files)

    assert usable(tmp_path) == _GB


@pytest.mark.parametrize("text", ["max", "9223372036854771712"])
def test_without_a_limit_the_machine_has_all_its_memory(tmp_path: Path, text: str) -> None:
    _limit(tmp_path, "0::/one\n", {"one/memory.max": text})

    assert usable(tmp_path) == _machine()


def test_without_a_setting_a_process_uses_half(home: Path) -> None:
    assert settings().memory_bytes == usable() // 2


def test_the_setting_is_a_size_with_a_unit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRAIL_MEMORY_LIMIT", "3GiB")
    settings.cache_clear()

    assert settings().memory_bytes == 3 * 2**30


@pytest.mark.parametrize("text", ["much", "1MB", "-4GB"])
def test_a_wrong_setting_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CONTRAIL_MEMORY_LIMIT", text)
    settings.cache_clear()

    with pytest.raises(SpecError, match="memory_limit"):
        settings()

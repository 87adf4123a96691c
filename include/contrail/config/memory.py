"""How much memory this process may use.

What the operating system enforces counts: a control group's limit, a limit of the process, or the machine's memory.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def usable(root: Path = _ROOT) -> int:
    """Return the bytes of memory that this process may use: the smallest of all limits on it.

    Args:
        root: The file system in which ``/proc`` and ``/sys`` lie.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_of_groups(root)]
    of_process, _ = resource.getrlimit(resource.RLIMIT_AS)
    if of_process != resource.RLIM_INFINITY:
        limits.append(of_process)
    return min(limits)


def _of_groups(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups of this process, of both versions. A group also obeys those above it."""
    listed = root / "proc/self/cgroup"
    lines = listed.read_text().splitlines() if listed.exists() else []
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            yield from _of_group(mount, own, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _of_group(mount / "memory", own, "memory.limit_in_bytes")


def _of_group(mount: Path, own: str, name: str) -> Iterator[int]:
    group = mount / own.lstrip("/")
    # In a container the path may be the host's, of which only the mount itself is visible.
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        limit = folder / name
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            yield int(text)

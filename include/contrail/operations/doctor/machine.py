"""The machine that runs this process: Python, libraries, Java, room, rights and ports.

Services elsewhere belong to ``stores`` and ``project``.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from contrail.config.settings import Settings, java_command
from contrail.operations.doctor.findings import Check, FaultError, NotCheckedError

_PYTHONS = ((3, 11), (3, 12), (3, 13))
_GB = 1e9
# A year of the shipped flights takes 0.4 GB of disk, and a training of a million rows 1.5 GB of memory (benchmarks/).
_DISK_GB, _MEMORY_GB = 2.0, 2.0
_JAVA = 17  # of Spark 4
_PAGES = {8080: "Airflow", 5000: "MLflow"}
_SHOWN = 5
_MAKE_SETUP = "make setup"


def checks(current: Settings) -> list[Check]:
    """The checks of this machine."""
    found = [
        Check("python", python),
        Check("libraries", partial(libraries, current.project_path / "requirements.txt")),
        Check("java", partial(java, current)),
        Check("memory", memory),
        Check("disk", partial(disk, current.home_path)),
        Check("home", partial(home, current.home_path)),
    ]
    return [*found, Check("ports", ports)] if current.catalog.uri.startswith("sqlite:") else found


def python() -> str:
    """Whether this Python is one that Contrail is tested with."""
    if sys.version_info[:2] not in _PYTHONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
        raise FaultError(f"Python {sys.version.split()[0]} is not one of {known}", _MAKE_SETUP)
    return f"Python {sys.version.split()[0]}"


def libraries(lock: Path) -> str:
    """Whether the installed libraries are those of the lock."""
    if not lock.exists():
        raise NotCheckedError(f"there is no lock {lock}")
    wrong, count = [], 0
    for name, wanted in _locked(lock.read_text()):
        count += 1
        try:
            installed = version(name)
        except PackageNotFoundError:
            wrong.append(f"{name} {wanted} is missing")
        else:
            if installed != wanted:
                wrong.append(f"{name} is {installed}, not {wanted}")
    if wrong:
        more = f", and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise FaultError(f"not as in {lock.name}: {', '.join(wrong[:_SHOWN])}{more}", _MAKE_SETUP)
    return f"all {count} are as in {lock.name}"


def _locked(text: str) -> Iterator[tuple[str, str]]:
    """Name and version of each library that the lock has for this machine."""
    for line in re.findall(r"^[\w.-]+==[^\\\n]+", text, re.MULTILINE):
        try:
            wanted = Requirement(line.strip())
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate():
            (pinned,) = wanted.specifier
            yield canonicalize_name(wanted.name), pinned.version


def java(current: Settings) -> str:
    """Whether there is a Java for Spark, where a stage of this machine needs one."""
    engine = current.engine
    masters = [engine.master] if engine.kind == "spark" else []
    masters += [target.master for target in current.dispatch.targets.values() if target.kind == "spark"]
    if not [master for master in masters if not master.startswith("sc://")]:
        return "not needed: no stage runs Spark on this machine"
    command = java_command()
    install = "sudo apt-get install --yes openjdk-17-jre-headless"
    try:
        said = subprocess.run([command, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise FaultError(f"Spark needs Java {_JAVA}, and {command} does not run: {error}", install) from error
    found = re.search(r'version "(\d+)', said)
    if not found or int(found[1]) < _JAVA:
        raise FaultError(f"Spark needs Java {_JAVA} or later, and {command} is {said.splitlines()[0]}", install)
    return f"Java {found[1]}"


def memory() -> str:
    """Whether a stage has room in memory."""
    try:
        available = int(re.findall(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)[0])
    except (OSError, IndexError) as error:
        raise NotCheckedError(f"this system does not say how much is free: {error}") from error
    free = available * 1024 / _GB
    if free < _MEMORY_GB:
        raise FaultError(f"{free:.1f} GB are free; a training needs {_MEMORY_GB:g}", "ps aux --sort=-rss | head")
    return f"{free:.1f} GB are free"


def disk(home: Path) -> str:
    """Whether the home has room."""
    place = _existing(home)
    free = shutil.disk_usage(place).free / _GB
    if free < _DISK_GB:
        raise FaultError(f"{free:.1f} GB are free in {place}; have {_DISK_GB:g} at least", f"df -h '{place}'")
    return f"{free:.1f} GB are free in {place}"


def home(path: Path) -> str:
    """Whether this user may write in the home."""
    place = _existing(path)
    if not os.access(place, os.W_OK | os.X_OK):
        raise FaultError(f"this user may not write in {place}", f"sudo chown -R \"$(id -un)\" '{place}'")
    return f"{path} can be written" if place == path else f"{path} will be made"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def ports() -> str:
    """Which of the pages' usual ports are free. A port that is taken is no fault: `make up` chooses another one."""
    taken = [f"{port} is taken, so {name} will choose another" for port, name in _PAGES.items() if not _is_free(port)]
    return "; ".join(taken) or f"{' and '.join(map(str, _PAGES))} are free"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

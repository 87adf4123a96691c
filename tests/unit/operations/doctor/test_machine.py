"""The checks of this machine, each with its fault planted."""

import socket
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contrail.config.settings import EngineSettings, Settings, settings
from contrail.config.targets import DispatchSettings, SparkTarget
from contrail.operations.doctor import machine
from contrail.operations.doctor.findings import FaultError, NotCheckedError

LOCK = """# made by uv
pydantic==1.0 \\
    --hash=sha256:00
no-such-library==2.0 ; python_full_version >= '3.11' \\
    --hash=sha256:00
pywin32==311 ; sys_platform == 'win32' \\
    --hash=sha256:00
"""


def fault(check: Callable[..., str], *arguments: Any) -> tuple[str, tuple[str, ...]]:
    """What a check finds wrong, and what it says to run."""
    with pytest.raises(FaultError) as raised:
        check(*arguments)
    return str(raised.value), raised.value.commands


def test_a_laptop_is_right(home: Path) -> None:
    checks = machine.checks(settings())
    assert [one.name for one in checks] == ["python", "libraries", "java", "memory", "disk", "home", "ports"]
    assert machine.python().startswith("Python 3.")
    assert not home.exists()


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14))
    said, commands = fault(machine.python)
    assert "is not one of 3.11, 3.12, 3.13" in said
    assert commands == ("make setup",)


def test_libraries_that_are_not_the_locks(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(LOCK)
    said, commands = fault(machine.libraries, lock)
    assert said.startswith("not as in requirements.txt: pydantic is 2.")
    assert said.endswith("not 1.0, no-such-library 2.0 is missing"), "and not a library of another system"
    assert commands == ("make setup",)


def test_many_libraries_are_counted(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("\n".join(f"no-such-{number}==1" for number in range(12)))
    assert fault(machine.libraries, lock)[0].endswith("no-such-4 1 is missing, and 7 more")


def test_no_lock(tmp_path: Path) -> None:
    with pytest.raises(NotCheckedError, match="there is no lock"):
        machine.libraries(tmp_path / "requirements.txt")


def with_engine(**parts: Any) -> Settings:
    return settings().model_copy(update=parts)


SPARK = EngineSettings(kind="spark")
TARGET = DispatchSettings(targets={"cluster": SparkTarget(kind="spark", master="spark://host:7077")})


@pytest.mark.parametrize("parts", [{"engine": SPARK}, {"dispatch": TARGET}])
def test_no_java_for_spark(home: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any]) -> None:
    monkeypatch.setenv("JAVA_HOME", str(home))
    said, commands = fault(machine.java, with_engine(**parts))
    assert said.startswith("Spark needs Java 17, and ")
    assert commands == ("sudo apt-get install --yes openjdk-17-jre-headless",)


@pytest.mark.parametrize(
    ("version", "right"), [("1.8.0_402", False), ("11.0.1", False), ("17.0.2", True), ("25", True)]
)
def test_a_java_that_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, right: bool) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-16' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if right:
        assert machine.java(with_engine(engine=SPARK)) == f"Java {version.partition('.')[0]}"
    else:
        assert version in fault(machine.java, with_engine(engine=SPARK))[0]


def test_sail_and_spark_elsewhere_need_no_java(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert "not needed" in machine.java(settings())
    assert "not needed" in machine.java(with_engine(engine=EngineSettings(kind="spark", master="sc://host:15002")))


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10, 9, 1_500_000_000)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    said, commands = fault(machine.disk, tmp_path / "not" / "made" / "yet")
    assert said == f"1.5 GB are free in {tmp_path}; have 2 at least"
    assert commands == (f"df -h '{tmp_path}'",)


@pytest.mark.parametrize(
    ("text", "right"), [("MemAvailable:    1000000 kB\n", False), ("MemAvailable: 9000000 kB\n", True)]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, text: str, right: bool) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_: f"MemTotal: 16000000 kB\n{text}")
    if right:
        assert machine.memory() == "9.2 GB are free"
    else:
        assert fault(machine.memory)[0] == "1.0 GB are free; a training needs 2"


def test_a_home_that_this_user_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "access", lambda *_: False)  # root may write everywhere
    said, commands = fault(machine.home, tmp_path / "home")
    assert said == f"this user may not write in {tmp_path}"
    assert commands == (f"sudo chown -R \"$(id -un)\" '{tmp_path}'",)


def test_a_port_that_is_taken_is_said_and_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(machine, "_PAGES", {port: "Airflow"})
        assert machine.ports() == f"{port} is taken, so Airflow will choose another"
    assert machine.ports() == f"{port} are free"

"""The operating system holds a question to memory and time where DuckDB does not. Each is a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from contrail.lake.bounds import bounded_memory

ASK = """
import sys
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import ContrailError
from contrail.lake import sql
from contrail.lake.lake import Lake
sql.GRACE_SECONDS = 0.5
toy = load_pipeline("toy")
try:
    with sql.ask(Lake(settings(), "toy"), toy.spec, sys.argv[1], float(sys.argv[2]), alone=True) as answer:
        print(answer.first(1))
except ContrailError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def home(toy_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTRAIL_MEMORY_LIMIT", "256MiB")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    return toy_home


def ask(question: str, seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ASK, question, str(seconds)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_single_value_is_held_to_the_memory(home: Path) -> None:
    asked = ask("SELECT length(repeat('abc', 900000000)) FROM range(2)", 60)
    assert "EngineError: the query needs more than 256 MiB of memory" in asked.stderr, asked
    assert asked.returncode == 1


def test_a_function_that_does_not_stop_ends_with_its_process_and_leaves_nothing(home: Path) -> None:
    asked = ask("SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))", 0.5)
    assert asked.returncode == 2, asked
    assert "given up after 0.5 s" in asked.stderr and "its process was ended" in asked.stderr
    assert list((home / "tmp").iterdir()) == []


def test_the_memory_is_free_again_afterwards() -> None:
    size = 1 << 28
    with bounded_memory(1 << 27), pytest.raises(MemoryError):
        bytearray(size)
    assert len(bytearray(size)) == size

"""The preloaded libraries: one counts steps, and dies or fails at one of them, one sets the clock. Each is compiled once."""

import ctypes
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir

_PROJECT = Path(__file__).resolve().parents[2]
_SOURCES = tuple(Path(__file__).with_name(name) for name in ("steps.c", "clock.c"))


def libraries() -> str:
    """Compile the libraries, once for each version of their sources. Return what ``LD_PRELOAD`` takes.

    Raises:
        FileNotFoundError: without a C compiler.
    """
    return " ".join(str(_compiled(source)) for source in _SOURCES)


def environment() -> dict[str, str]:
    """The environment of a process that has the libraries, and finds this repository's code."""
    places = os.pathsep.join(str(_PROJECT / folder) for folder in ("include", "plugins", ""))
    return {**os.environ, "LD_PRELOAD": libraries(), "PYTHONPATH": places}


def _compiled(source: Path) -> Path:
    mark = sha256(source.read_bytes()).hexdigest()[:16]
    made = Path(gettempdir(), f"contrail-chaos-{os.getuid()}-{mark}.so")
    if not made.exists():
        unfinished = made.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", unfinished, source, "-ldl"], check=True)
        unfinished.rename(made)
    return made


def full_disk(switch: Path, folder: Path) -> dict[str, str]:
    """The environment of processes that find the disk of a folder full while the file ``switch`` is there."""
    return {"LD_PRELOAD": libraries(), "CHAOS_FULL_DISK": f"{switch}:{folder}"}


def arm(folder: Path, *, at: int = 0, torn: bool = False, error: int = 0, signal: int = 0, log: int = -1) -> None:
    """Count the steps of this process below a folder from now on, and die at one of them.

    Args:
        folder: What changes elsewhere is no step.
        at: The step, from 1, before which the process group dies; 0: it lives.
        torn: It dies after half of the bytes, where the step is a write.
        error: This number (``errno``) is what this step and all later ones fail with; nothing dies.
        signal: This process gets it before the step, and goes on as far as it lets it.
        log: A file descriptor that gets a line for each step: its kind, a tab, and its place in the folder.
    """
    ctypes.CDLL(None).steps_arm(os.fsencode(folder), ctypes.c_long(at), int(torn), error, signal, log)


def set_clock(seconds: int, at: int = 1) -> None:
    """Let the clock of this process jump by so many seconds, when it is read for the ``at``-th time from now on."""
    ctypes.CDLL(None).clock_arm(ctypes.c_long(at), ctypes.c_long(seconds))

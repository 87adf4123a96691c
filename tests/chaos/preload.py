"""The preloaded library that counts steps, and dies or fails at one of them. It is compiled when it is first needed."""

import ctypes
import os
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir

_SOURCE = Path(__file__).with_name("steps.c")


def library() -> Path:
    """Compile the library, once for each version of its source.

    Raises:
        FileNotFoundError: without a C compiler.
    """
    mark = sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    made = Path(gettempdir(), f"contrail-chaos-{os.getuid()}-{mark}.so")
    if not made.exists():
        unfinished = made.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", unfinished, _SOURCE, "-ldl"], check=True)
        unfinished.rename(made)
    return made


def arm(folder: Path, *, at: int = 0, torn: bool = False, error: int = 0, log: int = -1) -> None:
    """Count the steps of this process below a folder from now on, and die at one of them.

    Args:
        folder: What changes elsewhere is no step.
        at: The step, from 1, before which the process group dies; 0: it lives.
        torn: It dies after half of the bytes, where the step is a write.
        error: This number (``errno``) is what this step and all later ones fail with; nothing dies.
        log: A file descriptor that gets a line for each step: its kind, a tab, and its place in the folder.
    """
    ctypes.CDLL(None).steps_arm(os.fsencode(folder), ctypes.c_long(at), int(torn), error, log)

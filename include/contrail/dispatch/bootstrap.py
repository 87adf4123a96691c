"""What a remote job starts with: fetch the code that submitted it, refuse any other, run it, leave the result.

It runs before Contrail is there, so it imports nothing of it: only the standard library and what the job image has
(fsspec with gcsfs). In the job's folder it leaves ``result.json`` and ``log.txt``, the end of what was printed; that is
written while the command runs too, for a machine that is taken away.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec

_KEPT_LINES = 200
_LOG_SECONDS = 10
_REFUSED = 2
# The lock file that the image was built from; libraries of another lock are another version.
_IMAGE_LOCK = Path("/opt/contrail/requirements.sha256")


def main(arguments: list[str] | None = None) -> int:
    """Run the command after ``--`` with the code of ``--wheel``; its exit status."""
    asked = _parse(arguments)
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    with tempfile.TemporaryDirectory(prefix="contrail-") as place:
        try:
            environment = _prepare(asked, Path(place))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            lines.append(f"✗ the job's code was refused: {error}")
            print(lines[-1], file=sys.stderr)
            code, printed = _REFUSED, ""
        else:
            with _log_kept(asked.folder, lines):
                code, printed = _run([sys.executable, "-m", "contrail", *asked.command], environment, lines)
    _leave(asked.folder, code, printed, list(lines))
    return code


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("wheel", "sha256", "revision", "lock", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--variable", action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    asked.command = [part for part in asked.command if part != "--"]
    return asked


def _prepare(asked: argparse.Namespace, place: Path) -> dict[str, str]:
    """Unpack the wheel; the environment in which its code runs."""
    wheel = place / "code.whl"
    with fsspec.open(asked.wheel, "rb") as source:
        wheel.write_bytes(source.read())
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != asked.sha256:
        raise ValueError(f"{asked.wheel} has SHA-256 {found}; the job was submitted with {asked.sha256}")
    if _IMAGE_LOCK.exists() and (built := _IMAGE_LOCK.read_text().strip()) != asked.lock:
        raise ValueError(
            f"the image was built from the lock {built}, the code needs {asked.lock}: build the image again"
        )
    code = place / "code"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(code)
    project = code / "contrail_project"
    (project / "REVISION").write_text(asked.revision)
    given = dict(entry.split("=", 1) for entry in asked.variable)
    # After ours comes what the service has put there: the Spark that it brings.
    modules = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    paths = {"CONTRAIL_PROJECT": str(project), "CONTRAIL_HOME": str(place / "home"), "PYTHONPATH": modules}
    return {**os.environ, **paths, **given}


def _run(command: list[str], environment: dict[str, str], lines: "deque[str]") -> tuple[int, str]:
    """Run it, pass on what it says, and keep the end; its exit status and standard output."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    # Asked to end, the stage must clean up, and this process must still say how it ended.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    for line in process.stderr or ():
        lines.append(line.rstrip())
        print(lines[-1], file=sys.stderr, flush=True)
    reader.join()
    return process.wait(), "".join(printed)


@contextmanager
def _log_kept(folder: str, lines: "deque[str]") -> Iterator[None]:
    """Write the log every few seconds in which something was said."""
    ended = threading.Event()

    def keep() -> None:
        kept: list[str] = []
        while not ended.wait(_LOG_SECONDS):
            if (said := list(lines)) != kept:
                with suppress(OSError):  # the next time, or at the end, where it is not passed over
                    _write(folder, "log.txt", "\n".join(said) + "\n")
                    kept = said

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _leave(folder: str, code: int, printed: str, lines: list[str]) -> None:
    last = (printed.strip().splitlines() or [""])[-1]
    result: Any = None
    if last.startswith("{"):
        result = json.loads(last)
    _write(folder, "log.txt", "\n".join(lines) + "\n")
    _write(folder, "result.json", json.dumps({"code": code, "result": result, "said": lines}))


def _write(folder: str, name: str, text: str) -> None:
    with fsspec.open(f"{folder}/{name}", "w", auto_mkdir=True) as target:
        target.write(text)


if __name__ == "__main__":
    sys.exit(main())

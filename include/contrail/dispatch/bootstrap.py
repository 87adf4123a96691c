"""The start of a remote job: fetch the code that submitted it, refuse any other, run it, and leave the result.

This file runs before Contrail is installed. So it imports only the standard library and what the job image has (fsspec
with gcsfs). It leaves ``result.json`` and ``log.txt`` in the job's folder. ``log.txt`` has the last lines of the log, and
is also written while the command runs, because the machine may be taken away. Progress goes to standard output. Vertex AI
logs standard error as errors, which alert people, so only the reason of a failed job goes there.

Vertex AI starts a failed container again on the same machine, and any container after maintenance of its host. Only the
first end of an attempt counts, and only the orchestrator starts attempts. So a job that finds its result leaves with it.
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
_REFUSED, _RETRYABLE = 2, 75  # as in contrail.errors
# The hash of the lock file that the image was built from. Another lock means other libraries. A stand-in for the image, in
# tests, names its own file.
_IMAGE_LOCK = Path(os.environ.get("CONTRAIL_IMAGE_LOCK", "/opt/contrail/requirements.sha256"))


def main(arguments: list[str] | None = None) -> int:
    """Run the command after ``--`` with the code of ``--wheel``, and return its exit status."""
    asked = _parse(arguments)
    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    try:
        before = _recorded(asked)
    except Exception as error:  # as below; and nothing is written, because there may be a result already
        code = _code_of(error)
        return _leaving(code, [f"✗ whether this attempt has ended before could not be read: {error}"])
    if before:
        print("this attempt has ended before; leaving with its result", flush=True)
        return _leaving(before["code"], before["said"])
    with tempfile.TemporaryDirectory(prefix="contrail-") as place:
        try:
            environment = _prepare(asked, Path(place))
        except Exception as error:  # any store's client may raise its own kind
            code, printed = _code_of(error), ""
            lines.append(f"✗ the job's code {'was refused' if code == _REFUSED else 'could not be fetched'}: {error}")
        else:
            with _log_kept(asked.folder, lines):
                code, printed = _run([sys.executable, "-m", "contrail", *asked.command], environment, lines)
            lines.extend(_traces(Path(environment["CONTRAIL_HOME"])))
    _leave(asked, code, printed, list(lines))
    return _leaving(code, list(lines))


def _leaving(code: int, lines: list[str]) -> int:
    """Return the exit status, and say why it is not 0."""
    if code:
        print(_reason(code, lines), file=sys.stderr)
    return code


def _recorded(asked: argparse.Namespace) -> dict[str, Any] | None:
    """Return the result that an earlier start of this very attempt left; None without a whole one."""
    store, path = fsspec.core.url_to_fs(f"{asked.folder}/result.json")
    if not store.exists(path):
        return None
    with suppress(ValueError, KeyError):  # the first start was killed while it wrote
        left: dict[str, Any] = json.loads(store.cat_file(path))
        return left if left["of"] == _identity(asked) else None
    return None


def _identity(asked: argparse.Namespace) -> str:
    """Tell this attempt from any other: its folder has its id, and the rest is what it was told to do."""
    told = [asked.folder, asked.sha256, asked.revision, asked.lock, *asked.variable, "--", *asked.command]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("wheel", "sha256", "revision", "lock", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--variable", action="append", default=[])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    asked.command = [part for part in asked.command if part != "--"]
    return asked


def _code_of(error: Exception) -> int:
    """Say by an exit status whether a retry may help. gcsfs reports a forbidden read as a plain OSError."""
    wrong = isinstance(error, ValueError | zipfile.BadZipFile | FileNotFoundError)
    return _REFUSED if wrong or str(error).startswith("Forbidden: ") else _RETRYABLE


def _reason(code: int, lines: list[str]) -> str:
    """Return the line that says why the job failed: Contrail's own error, or else the last line.

    Libraries may print more lines after Contrail's error.
    """
    marked = [line for line in lines if line.startswith("✗")]
    return [f"ended with code {code}", *lines, *marked][-1]


def _prepare(asked: argparse.Namespace, place: Path) -> dict[str, str]:
    """Unpack the wheel, and return the environment for its code."""
    wheel = place / "code.whl"
    with fsspec.open(asked.wheel, "rb") as source:
        wheel.write_bytes(source.read())
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != asked.sha256:
        raise ValueError(f"{asked.wheel} has SHA-256 {found}; the job was submitted with {asked.sha256}")
    built = _IMAGE_LOCK.read_text().strip() if _IMAGE_LOCK.exists() else "(unknown)"
    if built != asked.lock:
        raise ValueError(
            f"the image was built from the lock {built}, the code needs {asked.lock}. Build the image again."
        )
    code = place / "code"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(code)
    project = code / "contrail_project"
    (project / "REVISION").write_text(asked.revision)
    given = dict(entry.split("=", 1) for entry in asked.variable)
    # The service's own entries come after ours. They hold its Spark.
    modules = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    paths = {"CONTRAIL_PROJECT": str(project), "CONTRAIL_HOME": str(place / "home"), "PYTHONPATH": modules}
    return {**os.environ, **paths, **given}


def _traces(home: Path) -> list[str]:
    """Return the traces that the command kept in its home, which ends with this job."""
    kept = [line for path in home.glob("errors/*.txt") for line in path.read_text(errors="replace").splitlines()]
    for line in kept:
        print(line, flush=True)
    return kept


def _run(command: list[str], environment: dict[str, str], lines: "deque[str]") -> tuple[int, str]:
    """Run the command, print its messages and keep the last ones. Return its exit status and standard output."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    # On SIGTERM the stage must clean up, and this process must still write how the stage ended.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    printed: list[str] = []
    reader = threading.Thread(target=lambda: printed.append(process.stdout.read() if process.stdout else ""))
    reader.start()
    for line in process.stderr or ():
        lines.append(line.rstrip())
        print(lines[-1], flush=True)
    reader.join()
    return process.wait(), "".join(printed)


@contextmanager
def _log_kept(folder: str, lines: "deque[str]") -> Iterator[None]:
    """Write the log every few seconds, when it has new lines."""
    ended = threading.Event()

    def keep() -> None:
        kept: list[str] = []
        while not ended.wait(_LOG_SECONDS):
            if (said := list(lines)) != kept:
                with suppress(OSError):  # the next write may pass; the last one, at the end, must
                    _write(folder, "log.txt", "\n".join(said) + "\n")
                    kept = said

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _leave(asked: argparse.Namespace, code: int, printed: str, lines: list[str]) -> None:
    last = (printed.strip().splitlines() or [""])[-1]
    result: Any = None
    if last.startswith("{"):
        result = json.loads(last)
    _write(asked.folder, "log.txt", "\n".join(lines) + "\n")
    ended = {"code": code, "result": result, "said": lines, "of": _identity(asked)}
    _write(asked.folder, "result.json", json.dumps(ended))


def _write(folder: str, name: str, text: str) -> None:
    with fsspec.open(f"{folder}/{name}", "w", auto_mkdir=True) as target:
        target.write(text)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # no line ends a job that cannot be printed
    sys.exit(main())

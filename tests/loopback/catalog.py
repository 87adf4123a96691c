"""An Iceberg REST catalog, as BigLake's, over PyIceberg's own SQL catalog: the calls that PyIceberg's client makes."""

import json
import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest, Table

from tests.loopback.server import QuietHandler, QuietServer

_CODES: dict[type[Exception], int] = {
    CommitFailedException: 409,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
}


class RestCatalogServer:
    """The catalog over HTTP, until ``stop``. Table metadata lie in the warehouse, names in a file of ``folder``."""

    def __init__(self, folder: Path, warehouse: str) -> None:
        properties = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": warehouse}
        properties |= {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}
        catalog = SqlCatalog("loopback", **properties)
        # SQLite has one writer; the server's threads take turns, as a service's own store would make them.
        handler = type("Handler", (_Handler,), {"catalog": catalog, "turn": threading.Lock()})
        self._server = QuietServer(handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()


class _Handler(QuietHandler):
    catalog: SqlCatalog
    turn: threading.Lock
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, asked = self.path.partition("?")
        if not self.headers.get("Authorization", "").startswith("Bearer loopback-"):
            return self._answer(401, {"error": {"message": "no token", "type": "NotAuthorizedException", "code": 401}})
        try:
            with self.turn:
                code, values = self._config(asked) if path == "/v1/config" else self._route(path, body)
        except tuple(_CODES) as error:
            code = _CODES[type(error)]
            values = {"error": {"message": str(error), "type": type(error).__name__, "code": code}}
        return self._answer(code, values)

    def _config(self, asked: str) -> tuple[int, Any]:
        """BigLake has a catalog for a bucket when somebody has made it."""
        (warehouse,) = parse_qs(asked)["warehouse"]
        if not self.catalog.properties["warehouse"].startswith(f"{warehouse}/"):
            return 404, {"error": {"message": f"no catalog {warehouse}", "type": "NotFoundException", "code": 404}}
        return 200, {"defaults": {}, "overrides": {}}

    def _route(self, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/v1/namespaces" and self.command == "POST":
            name = json.loads(body)["namespace"]
            self.catalog.create_namespace(tuple(name))
            return 200, {"namespace": name, "properties": {}}
        if found := re.fullmatch(r"/v1/namespaces/([^/]+)", path):
            self.catalog.load_namespace_properties(found[1])
            return 200, {"namespace": [found[1]], "properties": {}}
        if found := re.fullmatch(r"/v1/namespaces/([^/]+)/tables", path):
            return self._tables(found[1], body)
        if found := re.fullmatch(r"/v1/namespaces/([^/]+)/tables/([^/]+)", path):
            return self._table((found[1], found[2]), body)
        return 404, {"error": {"message": path, "type": "NotFoundException", "code": 404}}

    def _tables(self, namespace: str, body: bytes) -> tuple[int, Any]:
        if self.command == "GET":
            found = self.catalog.list_tables(namespace)
            return 200, {"identifiers": [{"namespace": [namespace], "name": name} for *_, name in found]}
        absent = {"location": None, "write-order": None, "partition-spec": None}
        asked = CreateTableRequest.model_validate({**absent, **json.loads(body)})
        table = self.catalog.create_table(
            (namespace, asked.name), asked.table_schema, asked.location, asked.partition_spec,
            asked.write_order, dict(asked.properties),
        )  # fmt: skip
        return 200, _shown(table)

    def _table(self, name: tuple[str, str], body: bytes) -> tuple[int, Any]:
        if self.command == "HEAD":
            return (204, None) if self.catalog.table_exists(name) else (404, None)
        if self.command == "GET":
            return 200, _shown(self.catalog.load_table(name))
        asked = CommitTableRequest.model_validate_json(body)
        done = self.catalog.commit_table(self.catalog.load_table(name), asked.requirements, asked.updates)
        return 200, {
            "metadata-location": done.metadata_location,
            "metadata": json.loads(done.metadata.model_dump_json()),
        }

    def _answer(self, code: int, values: Any) -> None:
        body = b"" if values is None else json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        if code != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815


def _shown(table: Table) -> dict[str, Any]:
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}

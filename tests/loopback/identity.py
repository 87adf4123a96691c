"""The caller's identity: a service account's key made here, and its token server, which checks the signature."""

import atexit
import datetime as dt
import json
import tempfile
import urllib.parse
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import jwt

from tests.loopback.server import QuietHandler, QuietServer

PROJECT = "demo-project"
_AUDIENCE = "https://oauth2.googleapis.com/token"
_DAY = dt.timedelta(days=1)


def _private(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())


def _certificate(
    subject: str, key: rsa.RSAPrivateKey, issuer: x509.Certificate | None, signer: rsa.RSAPrivateKey, names: list[str]
) -> x509.Certificate:

    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(issuer.subject if issuer else own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 9 * _DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@cache
def certificates() -> Path:
    """A folder with ``key`` and ``certificate`` of ``*.googleapis.com``, and of the throw-away ``authority`` that signed it.

    The same for the whole process: gRPC reads the authorities that it trusts once.
    """
    place = tempfile.TemporaryDirectory(prefix="contrail-certificates-")
    atexit.register(place.cleanup)
    authority, server = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = _certificate("loopback", authority, None, authority, [])
    leaf = _certificate("googleapis.com", server, root, authority, ["*.googleapis.com", "localhost"])
    folder = Path(place.name)
    (folder / "key").write_bytes(_private(server))
    for name, certificate in (("certificate", leaf), ("authority", root)):
        (folder / name).write_bytes(certificate.public_bytes(pem.Encoding.PEM))
    return folder


class Identity:
    """A service account's key file, and its token server, until ``stop``."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(65537, 2048)
        public = _certificate("x", key, None, key, []).public_bytes(pem.Encoding.PEM)
        handler = type("Tokens", (_Tokens,), {"certificates": {"k1": public}})
        self._server = QuietServer(handler)
        self.key_file = folder / "service-account.json"
        account = {
            "type": "service_account", "project_id": PROJECT, "private_key_id": "k1",
            "private_key": _private(key).decode(), "client_email": f"tests@{PROJECT}.iam.gserviceaccount.com",
            "client_id": "1", "token_uri": f"http://127.0.0.1:{self._server.server_port}/token",
        }  # fmt: skip
        self.key_file.write_text(json.dumps(account))

    def stop(self) -> None:
        """End the token server."""
        self._server.shutdown()


class _Tokens(QuietHandler):
    certificates: dict[str, bytes]

    def do_POST(self) -> None:  # noqa: N802
        asked = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        try:
            claims = jwt.decode(asked["assertion"], certs=self.certificates, audience=_AUDIENCE)
        except (KeyError, ValueError) as error:
            self._answer(400, {"error": "invalid_grant", "error_description": str(error)})
        else:
            token = {"access_token": f"loopback-{claims['iss']}", "expires_in": 3600, "token_type": "Bearer"}
            self._answer(200, token)

    def _answer(self, code: int, values: dict[str, Any]) -> None:
        body = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

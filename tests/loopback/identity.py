"""The caller's identity: a service account's key made here, and its token server, which checks the signature.

A token says itself until when it is good, so that each service can refuse one that has expired.
"""

import atexit
import datetime as dt
import json
import tempfile
import time
import urllib.parse
from email.message import Message
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
# google-auth takes a token for expired this long before its end (google/auth/_helpers.py, REFRESH_THRESHOLD).
CLIENTS_MARGIN = 225
HOUR = 3600


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
    """A folder with ``key`` and ``certificate`` of Google's names, and of the throw-away ``authority`` that signed it.

    The same for the whole process: gRPC reads the authorities that it trusts once.
    """
    place = tempfile.TemporaryDirectory(prefix="contrail-certificates-")
    atexit.register(place.cleanup)
    authority, server = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = _certificate("loopback", authority, None, authority, [])
    leaf = _certificate("googleapis.com", server, root, authority, ["*.googleapis.com", "*.pkg.dev", "localhost"])
    folder = Path(place.name)
    (folder / "key").write_bytes(_private(server))
    for name, certificate in (("certificate", leaf), ("authority", root)):
        (folder / name).write_bytes(certificate.public_bytes(pem.Encoding.PEM))
    return folder


class Identity:
    """A service account's key file, and its token server, until ``stop``. Tokens live for an hour, as Google's do.

    ``fresh`` is for tests that cannot wait an hour: after so many seconds a client takes its token for expired, and
    the services refuse it a second later. ``issued`` has the tokens that were given.
    """

    def __init__(self, folder: Path, fresh: float | None = None) -> None:
        self.issued: list[str] = []
        key = rsa.generate_private_key(65537, 2048)
        public = _certificate("x", key, None, key, []).public_bytes(pem.Encoding.PEM)
        lives = (HOUR, HOUR) if fresh is None else (CLIENTS_MARGIN + fresh, fresh + 1)
        handler = type("Tokens", (_Tokens,), {"certificates": {"k1": public}, "lives": lives, "issued": self.issued})
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


def refusal(headers: Message) -> str | None:
    """Why a service refuses a request for its token; None when it does not."""
    found = str(headers.get("Authorization", "")).removeprefix("Bearer loopback-")
    until, _, who = found.partition("-")
    if not who:
        return "no token"
    return None if time.time() < float(until) else "Invalid Credentials: the token has expired"


class _Tokens(QuietHandler):
    certificates: dict[str, bytes]
    lives: tuple[float, float]
    issued: list[str]

    def do_POST(self) -> None:  # noqa: N802
        asked = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        try:
            claims = jwt.decode(asked["assertion"], certs=self.certificates, audience=_AUDIENCE)
        except (KeyError, ValueError) as error:
            return self._answer(400, {"error": "invalid_grant", "error_description": str(error)})
        if not claims.get("scope"):  # googleapis/google-auth-library-python#217
            refused = {"error": "invalid_scope", "error_description": "Empty or missing scope not allowed."}
            return self._answer(400, refused)
        said, real = self.lives
        token = f"loopback-{time.time() + real:.3f}-{claims['iss']}"
        self.issued.append(token)
        return self._answer(200, {"access_token": token, "expires_in": int(said), "token_type": "Bearer"})

    def _answer(self, code: int, values: dict[str, Any]) -> None:
        body = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

"""Files of the embedded Airflow that only their owner can read: its secrets, and the passwords of its users."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from contrail_airflow.roles import ROLES


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.rename(path)


def secret_of(home: Path, name: str, make: Callable[[], str]) -> str:
    """The secret of a name, made once."""
    path = home / f"{name}.secret"
    if not path.exists():
        write_private(path, make())
    return path.read_text()


def passwords_of(home: Path) -> dict[str, str]:
    """The password of each user, by the names of ``ROLES``; each is made once."""
    path = home / "passwords.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if missing := [role.name for role in ROLES if role.name not in known]:
        known |= {name: secrets.token_urlsafe(12) for name in missing}
        write_private(path, json.dumps(known))
    return known

"""`make compose-env`: new secrets for docker-compose.yaml, which only their owner can read.

It needs nothing but Python's standard library: a machine that only runs containers has no virtual environment.
"""

import argparse
import base64
import json
import os
import secrets
import sys
from pathlib import Path

from contrail_airflow.roles import ROLES


def make_environment() -> dict[str, str]:
    """Every variable that docker-compose.yaml requires. Many are hexadecimal, because some become part of a URL."""
    passwords = {role.name: secrets.token_urlsafe(16) for role in ROLES}
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_DB_PASSWORD": secrets.token_hex(24),
        "CONTRAIL_DB_PASSWORD": secrets.token_hex(24),
        "REDIS_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(48),
        "AIRFLOW_API_SECRET": secrets.token_hex(32),
        "AIRFLOW_PASSWORDS": json.dumps(passwords),
    }


def write_environment(path: Path) -> bool:
    """Write the file unless it exists, and return whether it was written: databases depend on its passwords."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in make_environment().items())
    return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local.compose_env", description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(".env"))
    path = parser.parse_args().path
    told = "written" if write_environment(path) else "kept: the databases were made with its passwords"
    sys.stdout.write(f"{path} is {told}. AIRFLOW_PASSWORDS in it are the users' passwords.\n")


if __name__ == "__main__":
    main()

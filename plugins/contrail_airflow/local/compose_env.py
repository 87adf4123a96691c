"""`make compose-env`: new secrets for docker-compose.yaml, which only their owner can read.

People's passwords are not among them. They are shown once, and the file has them in a form that nobody can read back.

It needs nothing but Python's standard library: a machine that only runs containers has no virtual environment.
"""

import argparse
import base64
import json
import os
import secrets
import sys
from pathlib import Path

from contrail_airflow.login.mlflow_rights import READER
from contrail_airflow.login.passwords import hashed, new_password
from contrail_airflow.roles import ROLES, SETTINGS_USER


def new_passwords() -> dict[str, str]:
    """A password for each of Airflow's first users, and for the reader of MLflow's pages."""
    return {name: new_password() for name in (*(role.name for role in ROLES), READER)}


def make_environment(passwords: dict[str, str]) -> dict[str, str]:
    """Every variable that docker-compose.yaml requires. Many are hexadecimal, because some become part of a URL."""
    hashes = {name: hashed(password) for name, password in passwords.items()}
    reader, settings_password = hashes.pop(READER), secrets.token_hex(24)
    return {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_DB_PASSWORD": secrets.token_hex(24),
        "CONTRAIL_DB_PASSWORD": secrets.token_hex(24),
        "REDIS_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(48),
        "AIRFLOW_API_SECRET": secrets.token_hex(32),
        "AIRFLOW_SETTINGS_PASSWORD": settings_password,
        "AIRFLOW_USERS": json.dumps(hashes | {SETTINGS_USER: hashed(settings_password)}),
        "MLFLOW_PASSWORD": secrets.token_hex(24),
        "MLFLOW_JOBS_PASSWORD": secrets.token_hex(24),
        "MLFLOW_READER": reader,
    }


def write_environment(path: Path) -> dict[str, str]:
    """Write the file unless it exists, because databases depend on its passwords. Return people's passwords, if new."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return {}
    passwords = new_passwords()
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in make_environment(passwords).items())
    return passwords


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local.compose_env", description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(".env"))
    path = parser.parse_args().path
    if not (passwords := write_environment(path)):
        sys.stdout.write(f"{path} is kept: the databases were made with its passwords.\n")
        return
    logins = "".join(f"  {name:<10} {password}\n" for name, password in passwords.items())
    sys.stdout.write(
        f"{path} is written. These are the first passwords of Airflow, and of MLflow ({READER}). No file has them: "
        f"keep them now.\n{logins}"
    )


if __name__ == "__main__":
    main()

"""Compose's `airflow-init`: Airflow's database, the roles, and the first users.

``python -m contrail_airflow.login.users`` reads their hashed passwords from ``AIRFLOW_USERS``. It never changes a person who
exists: people change their passwords in Airflow, and an administrator makes and removes users there. It makes them while
there is no administrator, so that somebody who was removed does not come back with a restart.
"""

import json
import os
import subprocess
import sys
from typing import Any

from contrail_airflow.login.rights import role_configs, role_of
from contrail_airflow.roles import ADMIN, ROLES, SETTINGS_USER


def make_users(manager: Any, hashes: dict[str, str]) -> list[str]:
    """Make the roles; in an Airflow without an administrator, the first users too. Return the names of the new users.

    Args:
        manager: FAB's security manager.
        hashes: The hashed password of each user: the names of ``ROLES``, and ``SETTINGS_USER``.
    """
    manager.sync_roles()
    manager.bulk_sync_roles(role_configs())
    if settings_user := manager.find_user(username=SETTINGS_USER):
        settings_user.password = hashes[SETTINGS_USER]  # no person's: .env decides
        manager.update_user(settings_user)
    administrators = manager.find_role(role_of(ADMIN)).user
    roles = {} if administrators else {kind.name: role_of(kind) for kind in ROLES}
    new = [name for name in {**roles, SETTINGS_USER: "engineer"} if manager.find_user(username=name) is None]
    for name in new:
        role = manager.find_role(roles.get(name, "engineer"))
        manager.add_user(name, name, "", f"{name}@contrail.invalid", role, hashed_password=hashes[name])
    return new


def main() -> None:
    """The command line."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    with get_application_builder() as builder:
        builder.add_permissions(update_perms=True)
        new = make_users(builder.sm, json.loads(os.environ["AIRFLOW_USERS"]))
    sys.stdout.write(f"Made the users {', '.join(new)}.\n" if new else "Every user existed.\n")


if __name__ == "__main__":
    main()

"""MLflow's server behind a login: ``python -m contrail_airflow.login.mlflow_server`` with the options of `mlflow server`.

It makes the three users at each start, from the environment. So a new password takes a restart and nothing else:

* ``MLFLOW_PASSWORD``: the orchestrator's, which may do everything;
* ``MLFLOW_JOBS_PASSWORD``: that of trainings elsewhere, which add runs and versions;
* ``MLFLOW_READER``: the hashed password of people, who read.
"""

import os
import secrets
import sys
import tempfile
from pathlib import Path

from contrail_airflow.login.mlflow_rights import JOBS, ORCHESTRATOR, READER
from contrail_airflow.login.passwords import hashed

_PASSWORDS = {ORCHESTRATOR: "MLFLOW_PASSWORD", JOBS: "MLFLOW_JOBS_PASSWORD"}
_CONFIG = """[mlflow]
default_permission = READ
database_uri = {store}
admin_username = {admin}
authorization_function = contrail_airflow.login.mlflow_rights:authenticate
"""


def make_users(store_uri: str, hashes: dict[str, str]) -> None:
    """Make MLflow's users in its own database, or set their passwords, and say what jobs may change.

    Args:
        store_uri: The database of ``--backend-store-uri``. The users' tables lie beside MLflow's own.
        hashes: The hashed passwords, by ``ORCHESTRATOR``, ``JOBS`` and ``READER``.
    """
    from mlflow.server.auth.db.models import SqlUser
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(store_uri)
    with store.ManagedSessionMaker(read_only=False) as session:
        for name, password_hash in hashes.items():
            user = session.query(SqlUser).filter(SqlUser.username == name).first() or SqlUser(username=name)
            user.password_hash, user.is_admin = password_hash, name == ORCHESTRATOR
            session.add(user)
    for kind in ("experiment", "registered_model"):
        store.grant_user_permission(JOBS, kind, "*", "EDIT")
    store.engine.dispose()


def main() -> None:
    """The command line: the users, then MLflow's server in place of this process."""
    options = sys.argv[1:]
    store_uri = next(option.partition("=")[2] for option in options if option.startswith("--backend-store-uri="))
    hashes = {name: hashed(os.environ[variable]) for name, variable in _PASSWORDS.items()}
    make_users(store_uri, hashes | {READER: os.environ["MLFLOW_READER"]})
    config = Path(tempfile.mkdtemp()) / "mlflow.ini"
    config.write_text(_CONFIG.format(store=store_uri, admin=ORCHESTRATOR))
    environment = {
        name: value for name, value in os.environ.items() if name not in (*_PASSWORDS.values(), "MLFLOW_READER")
    }
    environment |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that nobody needs
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", *options]
    os.execve(sys.executable, command, environment)  # noqa: S606 — no shell is wanted


if __name__ == "__main__":
    main()

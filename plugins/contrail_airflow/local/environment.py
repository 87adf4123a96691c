"""The environment variables of the embedded Airflow's processes: folders, users, secrets, and quicker polling."""

import os
import secrets
import sys
from pathlib import Path

from contrail.config.settings import Settings
from contrail_airflow.local.private import secret_of
from contrail_airflow.operators.forked_process import FORK_SERVER
from contrail_airflow.roles import ROLES

_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"


def airflow_environment(settings: Settings, home: Path) -> dict[str, str]:
    """The environment with Airflow's home at ``home``. Secrets are made once, and only their owner can read them."""
    settings.outside("Airflow runs")
    project = settings.project_path
    own = {
        "AIRFLOW_HOME": str(home),
        "CONTRAIL_HOME": str(settings.home_path),
        FORK_SERVER: str(home),  # its socket is there
        "CONTRAIL_PROJECT": str(project),
        "CONTRAIL_PIPELINES": str(settings.pipelines_path),
        "PYTHONPATH": os.pathsep.join([str(project / "include"), str(project / "plugins")]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.dags_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(project / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__AUTH_MANAGER": _AUTH_MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{r.name}:{r.airflow}" for r in ROLES),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__FERNET_KEY": secret_of(home, "fernet", _fernet_key),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret_of(home, "jwt", lambda: secrets.token_hex(48)),
        # What a stage says is a sentence, and should be read without moving the page.
        "AIRFLOW__API__DEFAULT_WRAP": "True",
        "AIRFLOW__API__SECRET_KEY": secret_of(home, "session", lambda: secrets.token_hex(32)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Without this, Airflow writes its processes' names over their environment, in which `down` looks for the token.
        "SPT_NOENV": "1",
        # The defaults poll as a large cluster needs it, and cost a second a task on two cores (docs/adr/0004).
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    }
    return {**os.environ, **own}


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()

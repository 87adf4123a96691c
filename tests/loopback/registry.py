"""MLflow as a server of its own with a login, as in a deployment. Jobs and Airflow reach it over HTTP alone."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from contrail_airflow.login.mlflow_rights import JOBS, ORCHESTRATOR
from contrail_airflow.login.passwords import hashed
from tests.loopback.storage import free_port, wait_for

_START_SECONDS = 120


class RegistryServer:
    """``mlflow server``, until the process that started it ends; ``address`` is its tracking URI.

    ``passwords`` are those of the orchestrator and of jobs.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.passwords = {name: secrets.token_hex(24) for name in (ORCHESTRATOR, JOBS)}
        options = ["--host=127.0.0.1", f"--port={port}", "--workers=1", "--no-serve-artifacts"]
        own = {
            "MLFLOW_PASSWORD": self.passwords[ORCHESTRATOR],
            "MLFLOW_JOBS_PASSWORD": self.passwords[JOBS],
            "MLFLOW_READER": hashed(secrets.token_hex(24)),
        }
        store = f"--backend-store-uri=sqlite:///{folder}/mlflow.db"
        with (folder / "mlflow.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "contrail_airflow.login.mlflow_server", *options, store],
                env={**os.environ, **own},
                stdout=log,
                stderr=log,
            )
        wait_for(port, _START_SECONDS)

"""MLflow as a server of its own, as in a deployment. Jobs and Airflow reach it over HTTP alone."""

import os
import subprocess
import sys
from pathlib import Path

from tests.loopback.storage import free_port, wait_for

_START_SECONDS = 120


class RegistryServer:
    """``mlflow server``, until the process that started it ends; ``address`` is its tracking URI."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/unused"]
        with (folder / "mlflow.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command, *store],
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
            )
        wait_for(port, _START_SECONDS)

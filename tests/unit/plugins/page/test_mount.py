"""What a process of Airflow pays for the page, and what the plugin registers."""

import json
import os
import subprocess
import sys

from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse
from tests.conftest import PROJECT

from contrail_airflow.page.mount import EXTERNAL_VIEWS

HEAVY = ("contrail.lake", "duckdb", "mlflow", "pyarrow", "pyiceberg", "pandas", "xgboost", "fastapi.applications")
_LIGHT = """
import json, sys
before = set(sys.modules)
import contrail_plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_loading_the_plugin_imports_neither_the_app_nor_a_heavy_library() -> None:
    path = os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "contrail_airflow.page.mount" in loaded
    heavy = [name for name in loaded for one in HEAVY if name == one or name.startswith(f"{one}.")]
    assert heavy == []
    assert [name for name in loaded if name.startswith("contrail_airflow.page.")] == ["contrail_airflow.page.mount"]


def test_the_views_follow_airflows_own_address() -> None:
    for view in EXTERNAL_VIEWS:
        known = ExternalViewResponse.model_validate(view)
        assert not known.href.startswith(("/", "http"))
        assert not (known.icon or "").startswith(("/", "http"))
    assert [view["destination"] for view in EXTERNAL_VIEWS] == ["nav", "dag", "dag_run"]
    assert len({view["url_route"] for view in EXTERNAL_VIEWS}) == 3, "Airflow drops the second view of a route"

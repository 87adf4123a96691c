"""Load the pools, connections and variables of airflow_settings.yaml into a running Airflow, by its REST API.

For an Airflow that ``embedded`` did not start:
``python -m contrail_airflow.local.settings_file --url …``, with the password of its user in AIRFLOW_SETTINGS_PASSWORD.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from contrail.config.settings import settings
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.roles import SETTINGS_USER


def apply_settings(api: AirflowApi, path: Path) -> None:
    """Create what the file lists, and overwrite what exists already.

    Raises:
        AirflowApiError: when Airflow refuses an entry.
    """
    wanted = yaml.safe_load(path.read_text())["airflow"]
    for kind, entries in (
        ("pools", [_pool(entry) for entry in wanted.get("pools") or []]),
        ("connections", [_connection(entry) for entry in wanted.get("connections") or []]),
        ("variables", [_variable(entry) for entry in wanted.get("variables") or []]),
    ):
        action = {"action": "create", "entities": entries, "action_on_existence": "overwrite"}
        if entries:
            api.call("PATCH", kind, json={"actions": [action]})


def _pool(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["pool_name"],
        "slots": entry["pool_slot"],
        "description": entry.get("pool_description", ""),
        # A task that waits for a rented GPU in the triggerer still holds it.
        "include_deferred": entry.get("pool_include_deferred", False),
    }


def _connection(entry: dict[str, Any]) -> dict[str, Any]:
    """A connection as Airflow's API takes it. A value with its own key wins over that of ``conn_uri``."""
    from airflow.sdk import Connection

    names = {"conn_type": "conn_type", "conn_host": "host", "conn_schema": "schema"}
    names |= {"conn_login": "login", "conn_password": "password", "conn_port": "port", "conn_extra": "extra"}
    found = {"connection_id": entry["conn_id"]}
    if uri := entry.get("conn_uri"):
        parsed = Connection.from_uri(uri, conn_id=entry["conn_id"])
        found |= {name: getattr(parsed, name) for name in names.values() if getattr(parsed, name)}
    found |= {ours: entry[theirs] for theirs, ours in names.items() if entry.get(theirs)}
    if isinstance(found.get("extra"), dict):
        found["extra"] = json.dumps(found["extra"])
    return found


def _variable(entry: dict[str, Any]) -> dict[str, Any]:
    return {"key": entry["variable_name"], "value": entry["variable_value"]}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="contrail_airflow.local.settings_file", description=__doc__)
    parser.add_argument("--url", required=True)
    asked = parser.parse_args()
    api = AirflowApi(asked.url, SETTINGS_USER, os.environ["AIRFLOW_SETTINGS_PASSWORD"])
    try:
        apply_settings(api, settings().project_path / "airflow_settings.yaml")
    except AirflowApiError as error:
        sys.exit(f"✗ {error}")


if __name__ == "__main__":
    main()

"""The requests to Airflow's API for the entries of airflow_settings.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from contrail_airflow.local.settings_file import apply_settings


class Api:
    """Keeps what was asked for."""

    def __init__(self) -> None:
        self.made: dict[str, list[dict[str, Any]]] = {}

    def call(self, method: str, path: str, json: dict[str, Any]) -> None:
        (action,) = json["actions"]
        assert (method, action["action"], action["action_on_existence"]) == ("PATCH", "create", "overwrite")
        self.made[path] = action["entities"]


def applied(tmp_path: Path, **wanted: Any) -> dict[str, list[dict[str, Any]]]:
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(yaml.safe_dump({"airflow": wanted}))
    api: Any = Api()
    apply_settings(api, path)
    return dict(api.made)


def test_what_is_not_asked_for_is_not_touched(tmp_path: Path) -> None:
    assert applied(tmp_path, pools=[], connections=None) == {}


def test_a_pool_says_whether_deferred_tasks_hold_their_slots(tmp_path: Path) -> None:
    gpu = {"pool_name": "gpu", "pool_slot": 1, "pool_description": "d", "pool_include_deferred": True}
    made = applied(tmp_path, pools=[gpu, {"pool_name": "heavy", "pool_slot": 2}])["pools"]
    assert made == [
        {"name": "gpu", "slots": 1, "description": "d", "include_deferred": True},
        {"name": "heavy", "slots": 2, "description": "", "include_deferred": False},
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {
            "conn_type": "postgres", "conn_host": "db", "conn_schema": "lake", "conn_login": "me", "conn_password": "a/b",
            "conn_port": 5432, "conn_extra": {"sslmode": "require"},
        },
        {"conn_uri": "postgres://me:a%2Fb@db:5432/lake?sslmode=require"},
        {"conn_uri": "postgres://you:a%2Fb@db:5432/lake?sslmode=require", "conn_login": "me"},
    ],
)  # fmt: skip
def test_a_connection_is_given_in_parts_or_as_a_uri(tmp_path: Path, asked: dict[str, Any]) -> None:
    (made,) = applied(tmp_path, connections=[{"conn_id": "warehouse", **asked}])["connections"]
    assert made == {
        "connection_id": "warehouse", "conn_type": "postgres", "host": "db", "schema": "lake", "login": "me",
        "password": "a/b", "port": 5432, "extra": '{"sslmode": "require"}',
    }  # fmt: skip


def test_a_variable_has_its_key_and_value(tmp_path: Path) -> None:
    made = applied(tmp_path, variables=[{"variable_name": "team", "variable_value": "data"}])
    assert made == {"variables": [{"key": "team", "value": "data"}]}

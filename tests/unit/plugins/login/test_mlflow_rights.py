"""What a login may send to MLflow at all, over every endpoint that the locked MLflow has."""

import re

from mlflow.server.handlers import get_endpoints

from contrail_airflow.login.mlflow_rights import JOBS, ORCHESTRATOR, READER, may

_ASKED = {"/experiments/search", "/runs/search", "/logged-models/search", "/graphql"}
_ADDED = {
    "POST /experiments/create", "POST /registered-models/create", "POST /model-versions/create", "POST /runs/create",
    "POST /runs/update", "POST /runs/log-batch", "POST /runs/log-inputs", "POST /runs/log-metric", "POST /runs/log-model",
    "POST /runs/log-parameter", "POST /runs/outputs", "POST /runs/set-tag", "POST /logged-models",
    "POST /logged-models/<model_id>/params", "PATCH /logged-models/<model_id>", "PATCH /logged-models/<model_id>/tags",
}  # fmt: skip


def changes(user: str) -> set[str]:
    """The requests other than reading and searching that a user may send."""
    sent = {(method, path) for path, _, methods in get_endpoints() for method in methods}
    allowed = {
        f"{method} {re.sub('^/(ajax-)?api/[0-9.]+/?mlflow', '', path)}"
        for method, path in sent
        if method not in ("GET", "HEAD", "OPTIONS") and may(user, method, path)
    }
    assert {f"POST {path}" for path in _ASKED} <= allowed
    return {each for each in allowed if not re.search(r"/(search[a-z-]*|graphql)$", each)}


def test_a_training_adds_and_people_read() -> None:
    assert changes(JOBS) == _ADDED
    assert changes(READER) == changes("somebody else") == set()
    assert {"POST /registered-models/alias", "DELETE /registered-models/alias"} <= changes(ORCHESTRATOR)

"""Who may change what in MLflow, beside MLflow's own permissions.

MLflow lets whoever may add a version to a model also move its aliases, rename it and change its other versions. A training
job needs the first alone. Only the orchestrator does the rest, after the gate.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.datastructures import Authorization

# The orchestrator, the trainings that run elsewhere, and all people.
ORCHESTRATOR, JOBS, READER = "airflow", "jobs", "team"

_READS = {"GET", "HEAD", "OPTIONS"}
# MLflow's searches are POST requests. Its page asks by GraphQL, which has no mutation that changes anything.
_ASKS = re.compile(r"/(search[a-z-]*|graphql)$")
# What a training does: it makes runs and logged models, fills them, and registers a version.
_ADDS = re.compile(
    r"/(experiments/create|runs/(create|update|log-[a-z]+|outputs|set-tag)|logged-models(/(?!search).+)?"
    r"|registered-models/create|model-versions/create)$"
)


def may(user: str, method: str, path: str) -> bool:
    """Say whether a user may send such a request at all. MLflow's own permissions come on top."""
    if user == ORCHESTRATOR or method in _READS or (method == "POST" and _ASKS.search(path)):
        return True
    return user == JOBS and method in ("POST", "PATCH") and _ADDS.search(path) is not None


def authenticate() -> "Authorization | Response":
    """Return who sends the request, or the refusal. It is the `authorization_function` of MLflow's basic-auth app."""
    from flask import Response, request
    from mlflow.server.auth import authenticate_request_basic_auth, make_forbidden_response

    known = authenticate_request_basic_auth()
    if isinstance(known, Response) or may(str(known.username), request.method, request.path):
        return known
    return make_forbidden_response()

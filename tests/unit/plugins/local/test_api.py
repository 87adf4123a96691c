"""The client of Airflow's API waits while the server starts again, and no longer than there is one."""

import httpx
import pytest

from contrail_airflow.local import api
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.local.embedded import EmbeddedError


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrail_airflow.local.api.time.sleep", lambda _: None)


def client(answers: list[httpx.Response | Exception], asked: list[str]) -> AirflowApi:
    """A client to which a server gives these answers, the last one again and again."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, Exception):
            raise found
        return found

    return AirflowApi("http://a", "u", "p", _token="t", _client=httpx.Client(transport=httpx.MockTransport(answer)))


AWAY = httpx.ConnectError("Connection refused")


def test_a_read_waits_for_a_server_that_starts_again() -> None:
    asked: list[str] = []
    waiting = client([AWAY, AWAY, AWAY, AWAY, AWAY, httpx.Response(200, json={"ok": True})], asked)
    assert waiting.call("GET", "dags") == {"ok": True}
    assert len(asked) == 6


def test_a_read_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_AWAY_SECONDS", 0.02)
    with pytest.raises(
        AirflowApiError, match=r"GET http://a/api/v2/dags: Airflow does not answer \(Connection refused"
    ):
        client([AWAY], []).call("GET", "dags")


def test_a_read_does_not_wait_for_a_server_that_is_gone() -> None:
    asked: list[str] = []
    waiting = client([AWAY], asked)

    def gone() -> None:
        if len(asked) == 3:
            raise EmbeddedError("Airflow's api-server is gone")

    waiting.check = gone
    with pytest.raises(EmbeddedError, match="api-server is gone"):
        waiting.call("GET", "dags")


def test_a_change_is_asked_for_once() -> None:
    asked: list[str] = []
    with pytest.raises(AirflowApiError, match="does not answer"):
        client([AWAY], asked).call("POST", "backfills", json={})
    assert asked == ["POST"]


def test_an_answer_that_stays_an_error_is_told() -> None:
    asked: list[str] = []
    with pytest.raises(AirflowApiError, match="GET dags: 503 busy"):
        client([httpx.Response(503, text="busy")], asked).call("GET", "dags")
    assert len(asked) == 3

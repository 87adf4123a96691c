"""Airflow's and MLflow's logins as Compose starts them, on Debian's Postgres: who may do what, and a restored backup.

The commands and the environments of the services are those of docker-compose.yaml, those of the backup are the docs' own.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from tests.conftest import PROJECT, TOY_PIPELINES
from tests.loopback.storage import free_port
from tests.servers import Servers, Service, programs

from contrail_airflow.dags.file import NAMES
from contrail_airflow.local.api import AirflowApi, AirflowApiError
from contrail_airflow.local.processes import wait_until
from contrail_airflow.roles import APPROVERS, SETTINGS_USER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("airflow")]

_START_SECONDS = 180


class Place:
    """A folder in which services run as processes, with what an image sets."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.image = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("AIRFLOW", "CONTRAIL", "MLFLOW"))
            },
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "tests" / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "CONTRAIL_HOME": str(folder / "home"),
            "CONTRAIL_PROJECT": str(PROJECT),
            "CONTRAIL_PIPELINES": str(TOY_PIPELINES),
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
        }

    def run(self, name: str) -> str:
        return self.servers.run(name, self.image, self.url)

    @contextmanager
    def started(self, name: str, service: Service, answers: str) -> Iterator[None]:
        """A service, once it answers at an address."""
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(service.command, env=self.image | service.environment, stdout=file, stderr=file)
        try:
            assert wait_until(lambda: process.poll() is not None or _answers(answers), _START_SECONDS), log.read_text()
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def place(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Airflow's database with its users and the toy pipeline's DAGs."""
    found = Place(servers, tmp_path_factory.mktemp("airflow"))
    made = found.run("airflow-init")
    assert made.splitlines()[-1] == f"Made the users admin, engineer, scientist, approver, analyst, {SETTINGS_USER}."
    environment = found.image | servers.service("dag-processor").environment
    command = [sys.executable, "-m", "airflow", "dag-processor", "--num-runs", "1"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return found


@pytest.fixture
def airflow(place: Place) -> Iterator[Place]:
    """The API server."""
    service = place.servers.service("api-server")
    own = {"AIRFLOW__API__BASE_URL": place.url}
    command = [*service.command, "--port", str(place.port), "--workers", "1"]
    with place.started("api-server", Service(command, service.environment | own), f"{place.url}/api/v2/version"):
        yield place


def api(airflow: Place, name: str) -> AirflowApi:
    return AirflowApi(airflow.url, name, airflow.servers.passwords[name])


def refused(user: AirflowApi, method: str, path: str, body: Any) -> None:
    with pytest.raises(AirflowApiError, match=": 403 "):
        user.call(method, path, json=body)


def test_the_page_asks_this_login_who_may_do_what(airflow: Place) -> None:
    """With the first passwords, one of which the next test changes."""
    plan = {"first": "2024-01-10", "last": "2024-01-12", "stages": ["features"]}
    for name, may_plan in (("analyst", False), ("scientist", True), ("engineer", True), ("approver", True)):
        token = httpx.post(
            f"{airflow.url}/auth/token", json={"username": name, "password": airflow.servers.passwords[name]}
        ).json()["access_token"]
        with httpx.Client(base_url=f"{airflow.url}/contrail/", cookies={"_token": token}, timeout=60) as person:
            frame = person.get("api/frame").json()
            assert frame["user"] == name
            assert [(one["name"], one["may_backfill"]) for one in frame["pipelines"]] == [("toy", may_plan)]
            planned = person.post("api/toy/plan", json=plan, headers={"x-contrail": "1"})
            # Nothing has landed in this lake, which only those hear who may plan.
            assert planned.status_code == (409 if may_plan else 403), planned.text
    assert httpx.get(f"{airflow.url}/contrail/api/frame").status_code == 401


def test_each_role_logs_in_and_does_its_own_work_and_no_more(airflow: Place) -> None:
    for name, password in (("admin", "admin"), ("nobody", airflow.servers.passwords["admin"])):
        with pytest.raises(AirflowApiError, match=f"refused the login of {name}: 401"):
            AirflowApi(airflow.url, name, password).call("GET", "dags")
    airflow.run("airflow-settings")  # as the user `settings`, whose password only .env has
    analyst, scientist, engineer, approver = (
        api(airflow, name) for name in ("analyst", "scientist", "engineer", "approver")
    )
    assert analyst.call("GET", "dags")["total_entries"] == len(NAMES)
    assert {pool["name"] for pool in analyst.call("GET", "pools")["pools"]} >= {"heavy", "gpu"}
    assert analyst.call("GET", "eventLogs")["total_entries"] >= 0
    connection = {"connection_id": "warehouse", "conn_type": "generic", "password": "of the warehouse"}
    variable = {"key": "some", "value": "thing"}
    train = {"logical_date": None, "conf": {"as_of": "2024-03-01"}}
    for user in (analyst, scientist, approver):
        refused(user, "POST", "connections", connection)
        refused(user, "POST", "variables", variable)
        refused(user, "PATCH", "pools/heavy", {"slots": 9})
    refused(analyst, "POST", "dags/toy__train/dagRuns", train)
    refused(analyst, "PATCH", "dags/toy__daily", {"is_paused": False})
    engineer.call("POST", "connections", json=connection)
    engineer.call("POST", "variables", json=variable)
    engineer.call("PATCH", "pools/heavy", json={"name": "heavy", "slots": 3, "include_deferred": False})
    run_id = scientist.trigger("toy__train", {"as_of": "2024-03-01"})
    again = {"dag_run_id": run_id, "dry_run": False, "only_failed": False}
    refused(analyst, "POST", "dags/toy__train/clearTaskInstances", again)
    scientist.call("POST", "dags/toy__train/clearTaskInstances", json=again)
    _only_approvers_answer(airflow, run_id)
    _a_person_changes_the_password_and_a_restart_keeps_it(airflow)


def _only_approvers_answer(airflow: Place, run_id: str) -> None:
    ask(airflow.servers, run_id)
    path = f"dags/toy__train/dagRuns/{run_id}/taskInstances/promote/hitlDetails"
    answer = {"chosen_options": ["Approve"], "params_input": {"reason": "good"}}
    for name in ("analyst", "scientist", "engineer"):
        refused(api(airflow, name), "PATCH", path.replace("/hitl", "/-1/hitl"), answer)
    # A second approver, whose name says nothing.
    person = {
        "username": "maria",
        "password": "a password of hers",
        "email": "m@x.org",
        "first_name": "M",
        "last_name": "X",
    }
    admin = api(airflow, "admin")
    token = httpx.post(f"{airflow.url}/auth/token", json={"username": "admin", "password": admin.password}).json()
    made = httpx.post(
        f"{airflow.url}/auth/fab/v1/users",
        json={**person, "roles": [{"name": "approver"}]},
        headers={"Authorization": f"Bearer {token['access_token']}"},
    )
    assert made.is_success, made.text
    maria = AirflowApi(airflow.url, "maria", person["password"])
    said = maria.call("PATCH", path.replace("/hitl", "/-1/hitl"), json=answer)
    assert said["responded_by"]["name"] == "maria"


def ask(servers: Servers, run_id: str) -> None:
    """What the task that waits for an approver leaves in Airflow's database."""
    with _connected(servers, "airflow") as cursor:
        cursor.execute(
            "INSERT INTO hitl_detail (ti_id, options, subject, params, params_input, assignees, created_at) "
            "SELECT id, '[\"Approve\", \"Refuse\"]', 'Promote?', '{}', '{}', %s, now() FROM task_instance "
            "WHERE run_id = %s AND task_id = 'promote'",
            (json.dumps([{"id": name, "name": name} for name in APPROVERS]), run_id),
        )
        assert cursor.rowcount == 1


def change_own_password(airflow: Place, name: str, password: str, new: str) -> str:
    """Log in through the form, as a browser does, and change the password there. Where the browser ends up."""
    page = "/auth/resetmypassword/form"
    with httpx.Client(base_url=airflow.url, follow_redirects=True, timeout=60) as person:
        token = _form_token(person.get("/auth/login/"))
        person.post("/auth/login/", data={"username": name, "password": password, "csrf_token": token})
        form = person.get(page)
        if form.url.path == page:
            filled = {"password": new, "conf_password": new, "csrf_token": _form_token(form)}
            assert person.post(page, data=filled).is_success
        return form.url.path


def _form_token(page: httpx.Response) -> str:
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert token, page.text
    return token[1]


def _a_person_changes_the_password_and_a_restart_keeps_it(airflow: Place) -> None:
    assert change_own_password(airflow, "analyst", "a guess", "new words") == "/auth/login/"
    change_own_password(airflow, "analyst", airflow.servers.passwords["analyst"], "new words")
    assert airflow.run("airflow-init").splitlines()[-1] == "Every user existed."
    assert AirflowApi(airflow.url, "analyst", "new words").call("GET", "dags")["total_entries"] == len(NAMES)
    with pytest.raises(AirflowApiError, match="refused the login"):
        api(airflow, "analyst").call("GET", "dags")
    hashes = [row[0] for row in airflow.servers.query("airflow", "airflow", "SELECT password FROM ab_user")]
    assert len(hashes) == 7
    assert all(each.startswith("scrypt:") for each in hashes)


# ---- MLflow ----


@pytest.fixture
def mlflow(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's server; its address."""
    port = free_port()
    service = place.servers.service("mlflow")
    here = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}
    command = [here.get(part, part).replace("/var/lib/contrail", str(place.folder)) for part in service.command]
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.setenv(name, "0")
    with place.started("mlflow", Service(command, service.environment), f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


def test_only_the_orchestrator_moves_an_alias_and_people_read(
    mlflow: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, client = place.servers.secrets, MlflowClient(mlflow, mlflow)
    passwords = {"airflow": secrets["MLFLOW_PASSWORD"], "jobs": secrets["MLFLOW_JOBS_PASSWORD"]}
    passwords |= {"team": place.servers.passwords["team"]}

    def be(user: str, password: str = "") -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or passwords[user])

    def denied(code: str, call: Any, *arguments: Any) -> None:
        with pytest.raises(MlflowException, match=f"error code {code}"):
            call(*arguments)

    assert httpx.get(mlflow).status_code == 401
    be("airflow", "a guess")
    denied("401", client.search_experiments)
    be("jobs")  # the first training makes the experiment and the model, and is their owner in MLflow
    run = client.create_run(client.create_experiment("toy", "file:///artifacts")).info
    client.log_metric(run.run_id, "gain", 0.5)
    client.create_registered_model("toy")
    client.create_model_version("toy", run.artifact_uri, run.run_id, tags={"status": "candidate"})
    owned = [
        (client.set_registered_model_alias, "toy", "champion", "1"), (client.set_model_version_tag, "toy", "1", "a", "b"),
        (client.rename_registered_model, "toy", "other"), (client.delete_model_version, "toy", "1"),
        (client.delete_registered_model, "toy"), (client.delete_experiment, run.experiment_id),
        (client.delete_run, run.run_id),
    ]  # fmt: skip
    for call, *arguments in owned:
        denied("403", call, *arguments)
    be("team")
    assert [found.version for found in client.search_model_versions("name = 'toy'")] == ["1"]
    assert len(client.search_runs([run.experiment_id])) == 1
    more = [(client.create_run, run.experiment_id), (client.create_registered_model, "bike_demand")]
    for call, *arguments in owned + more:
        denied("403", call, *arguments)
    be("airflow")
    client.set_registered_model_alias("toy", "champion", "1")
    be("jobs")
    assert client.get_model_version_by_alias("toy", "champion").version == "1"
    denied("403", client.delete_registered_model_alias, "toy", "champion")


# ---- a backup, after the tests above ----


@contextmanager
def _connected(servers: Servers, database: str) -> Iterator[Any]:
    place = {"host": "127.0.0.1", "port": servers.postgres_port, "dbname": database}
    connection = psycopg2.connect(user="postgres", password=servers.secrets["POSTGRES_PASSWORD"], **place)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def contents(servers: Servers, database: str) -> dict[str, Any]:
    """The number of rows and the digest of every table, the owners, and who may connect."""
    with _connected(servers, database) as cursor:
        cursor.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'")
        owners = dict(cursor.fetchall())
        found: dict[str, Any] = {}
        for table in owners:
            cursor.execute(f'SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t')
            found[table] = (owners[table], *cursor.fetchone())
        cursor.execute("SELECT unnest(datacl)::text FROM pg_database WHERE datname = current_database()")
        return found | {"who may connect": sorted(cursor.fetchall())}


def test_the_docs_restore_what_their_backup_holds(place: Place, tmp_path: Path) -> None:
    servers = place.servers
    before = {name: contents(servers, name) for name in ("airflow", "mlflow", "iceberg")}
    counted = {
        (name, table): found[1] for name, tables in before.items() for table, found in tables.items() if found[1:]
    }
    for kept in ("dag_run", "connection", "slot_pool", "ab_user", "hitl_detail"):
        assert counted["airflow", kept], kept
    for kept in ("runs", "model_versions", "registered_model_aliases", "users"):
        assert counted["mlflow", kept], kept
    section = (PROJECT / "docs" / "several-machines.md").read_text().partition("## Backup and restore")[2]
    back_up, restore = re.findall(r"```\n(.*?)```", section, re.DOTALL)[:2]
    docs = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(servers.postgres_port),
        "PGPASSWORD": servers.secrets["POSTGRES_PASSWORD"],
    }

    def follow(commands: str) -> None:
        """The docs' commands without containers: what a service stops and starts is not here."""
        lines = [line for line in commands.splitlines() if not re.match(r"docker compose (stop|up|start)", line)]
        assert any("docker compose exec -T postgres pg_" in line for line in lines)
        text = "\n".join(lines).replace("docker compose exec -T postgres ", "")
        path = {"PATH": os.pathsep.join([str(programs()), os.environ["PATH"]])}
        subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail", "-c", text], cwd=tmp_path, env=os.environ | docs | path, check=True
        )

    (tmp_path / ".env").touch()
    follow(back_up)
    with _connected(servers, "airflow") as cursor:  # what a person may do by mistake, and what came after the backup
        cursor.execute("TRUNCATE dag_run CASCADE; DELETE FROM ab_user_role; CREATE TABLE later (id int)")
    with _connected(servers, "mlflow") as cursor:
        cursor.execute("UPDATE registered_model_aliases SET version = 2; DROP TABLE model_version_tags")
    follow(restore)
    for name, was in before.items():
        now = contents(servers, name)
        assert {each: (was.get(each), now.get(each)) for each in was | now if was.get(each) != now.get(each)} == {}, (
            name
        )

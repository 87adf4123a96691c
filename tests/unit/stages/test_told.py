"""What runs tell about lineage, in OpenLineage's form."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from tests.conftest import Prepare, Toy
from tests.toy_tables import copy_empty_registry, publish_toy, skip_what_only_train_needs

from contrail.adapters import open_lineage
from contrail.config.settings import settings
from contrail.errors import MissingInputError
from contrail.partitions import Partitions
from contrail.revision import VERSION
from contrail.stages import lineage_events
from contrail.stages.runner import run_stage


def _events(toy: Toy) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((toy.settings.home_path / "lineage" / "toy").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def _named(datasets: list[dict[str, Any]]) -> dict[str, str | None]:
    return {one["name"]: one.get("facets", {}).get("version", {}).get("datasetVersion") for one in datasets}


def test_a_row_can_be_followed_from_the_landed_file_to_the_validated_table(toy: Toy) -> None:
    toy.land("2024-01-01", "2024-01-03")
    toy.run("ingest", "2024-01-01", "2024-01-03")
    toy.run("validate", "2024-01-01", "2024-01-03")
    events = _events(toy)
    assert [(one["job"]["name"], one["eventType"]) for one in events] == [
        ("toy.ingest", "START"), ("toy.ingest", "COMPLETE"), ("toy.validate", "START"), ("toy.validate", "COMPLETE"),
    ]  # fmt: skip
    assert [one["run"]["runId"] for one in events[:2]] == [events[0]["run"]["runId"]] * 2
    ingested, validated = events[1], events[3]
    assert "toy/parcels" in _named(ingested["inputs"])
    made = _named(ingested["outputs"])["toy.raw_parcels"]
    assert made == str(toy.lake.snapshot_id("raw_parcels"))
    assert _named(validated["inputs"])["toy.raw_parcels"] == made
    (parcels,) = [one for one in validated["outputs"] if one["name"] == "toy.validated_parcels"]
    assert parcels["namespace"] == toy.settings.catalog.warehouse_uri
    assert parcels["facets"]["contrail_commit"]["partitions"] == ["2024-01-01..2024-01-03"]
    assert parcels["outputFacets"]["outputStatistics"]["rowCount"] == len(toy.sql("SELECT * FROM validated_parcels"))
    fields = {one["name"]: one for one in parcels["facets"]["schema"]["fields"]}
    assert fields["visible_from"]["description"] == "First partition whose features may use the row."


def test_code_that_is_no_installed_package_tells_as_well(toy: Toy) -> None:
    """Images and remote jobs have the folders alone."""
    toy.land("2024-01-01", "2024-01-01")
    script = (
        "import importlib.metadata as m; found = m.Distribution.from_name\n"
        "def of(name):\n    if name == 'contrail': raise m.PackageNotFoundError(name)\n    return found(name)\n"
        "m.Distribution.from_name = of\n"
        "from contrail.cli.app import main; main()"
    )
    arguments = ["ingest", "--pipeline", "toy", "--from", "2024-01-01"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["eventType"] for one in _events(toy)] == ["START", "COMPLETE"], done.stderr
    assert _events(toy)[0]["producer"] == f"urn:contrail:{VERSION}"


def test_a_run_that_fails_names_the_kind_of_error_and_no_output(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise MissingInputError("the row says: Jane Doe")

    monkeypatch.setattr("contrail.stages.ingest.execute", broken)
    with pytest.raises(MissingInputError):
        toy.run("ingest", "2024-01-01")
    _, failed = _events(toy)
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "MissingInputError"
    assert (failed["inputs"], failed["outputs"]) == ([], [])
    assert "Jane" not in json.dumps(failed), "the words of an error may hold values of rows"


def test_the_words_of_people_are_in_no_event(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrail.stages.train.execute", lambda _: pytest.fail("stop here"))
    with pytest.raises(BaseException, match="stop here"):
        toy.run("train", "2024-01-01", person="ann", reason="Jane Doe asked", registered=False)
    assert _events(toy)[0]["run"]["facets"]["contrail_run"]["options"] == {"registered": False}


def test_a_run_that_is_stopped_ends_as_aborted(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("contrail.stages.ingest.execute", stopped)
    with pytest.raises(KeyboardInterrupt):
        toy.run("ingest", "2024-01-01")
    assert _events(toy)[-1]["eventType"] == "ABORT"


def champion_that_scored(toy: Toy) -> None:
    publish_toy(toy, "2024-01-01", "2024-02-03")
    copy_empty_registry(settings())
    toy.run("train", "2024-01-01", "2024-01-31", params={"nthread": 1})
    toy.run("score", "2024-02-01", "2024-02-02", model="1")


def test_a_model_is_followed_from_its_features_to_its_predictions(
    prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_what_only_train_needs(monkeypatch)
    trained = prepared(champion_that_scored)
    events = {one["job"]["name"]: one for one in _events(trained) if one["eventType"] == "COMPLETE"}
    features = str(trained.lake.snapshot_id("features"))
    assert _named(events["toy.train"]["inputs"])["toy.features"] == features
    (model,) = events["toy.train"]["outputs"]
    assert (model["name"], model["facets"]["version"]["datasetVersion"]) == ("toy", "1")
    assert len(model["facets"]["contrail_model"]["sha256"]) == 64
    scored = events["toy.score"]
    assert _named(scored["inputs"]) | {"toy": "1"} == _named(scored["inputs"])
    assert _named(scored["inputs"])["toy.features"] == features
    assert _named(scored["outputs"])["toy.predictions"] == str(trained.lake.snapshot_id("predictions"))


def test_no_stage_fails_because_its_lineage_cannot_be_told(
    toy: Toy, collect: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(open_lineage, "_append", full)
    toy.land("2024-01-01")
    run_stage("ingest", "toy", Partitions.parse("2024-01-01"), progress=collect)
    assert toy.lake.snapshot_id("raw_parcels")
    assert sum("missing in the lineage: OSError" in line for line in collect.lines) == 2  # type: ignore[attr-defined]


def test_an_event_that_a_full_disk_cut_off_takes_no_other_with_it(toy: Toy) -> None:
    toy.land("2024-01-01")
    toy.run("ingest", "2024-01-01")
    (path,) = (toy.settings.home_path / "lineage" / "toy").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])
    toy.run("ingest", "2024-01-01")
    readable = []
    for line in path.read_text().splitlines():
        try:
            readable.append(json.loads(line)["eventType"])
        except ValueError:
            readable.append("cut off")
    assert readable == ["START", "cut off", "START", "COMPLETE"]


def test_a_backend_gets_the_events_instead_and_learns_who_started_the_run(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[dict[str, Any]] = []

    class Backend(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("os.environ", {**os.environ})  # the client adds variables of its own
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
    parent = "01a21bf9-7a7e-7a8b-a4e7-8a1c554c44e7"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"airflow/toy__daily.ingest/{parent}")
    toy.land("2024-01-01")
    toy.run("ingest", "2024-01-01")
    server.shutdown()
    assert [one["eventType"] for one in got] == ["START", "COMPLETE"]
    assert got[1]["run"]["facets"]["parent"]["job"] == {
        "namespace": "airflow", "name": "toy__daily.ingest", "facets": {},
    }  # fmt: skip
    assert got[1]["run"]["facets"]["parent"]["run"]["runId"] == parent
    assert _events(toy) == []


def test_files_that_were_taken_in_before_make_no_output(toy: Toy) -> None:
    toy.land("2024-01-01")
    toy.run("ingest", "2024-01-01")
    toy.run("ingest", "2024-01-01")
    again = _events(toy)[-1]
    assert (again["eventType"], again["outputs"]) == ("COMPLETE", [])
    assert again["run"]["facets"]["contrail_run"]["unchanged"] is True


def test_the_login_of_the_registry_is_in_no_event(toy: Toy) -> None:
    run = toy.stage_run("score", "2024-01-01")
    registry = run.settings.registry.model_copy(update={"tracking_uri": "postgresql://user:secret@db:5432/mlflow"})
    told = replace(run, settings=run.settings.model_copy(update={"registry": registry}))
    assert lineage_events._registry(told) == "postgresql://db:5432/mlflow"

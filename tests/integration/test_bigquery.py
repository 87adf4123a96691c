"""Publishing to BigQuery with Google's own client, unmodified, against an emulator; see tests/loopback/bigquery.py."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from tests.conftest import PROJECT, TOY_PIPELINES, Toy
from tests.loopback.bigquery import BigQueryServer
from tests.loopback.identity import PROJECT as GOOGLE_PROJECT
from tests.loopback.identity import Identity
from tests.unit.lake.test_warehouse import fingerprints_of

from contrail.adapters import bigquery
from contrail.adapters.bigquery import Warehouse
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import ContrailError, DataError, MissingInputError, SpecError
from contrail.lake import datasets, drift_records, records
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions
from contrail.stages.results import CopiedTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("google")]

DAYS = [date(2024, 1, day) for day in (5, 6, 7)]
FIRST, LAST = str(DAYS[0]), str(DAYS[-1])
TABLE = f"{GOOGLE_PROJECT}.contrail.toy_predictions"
VIEWS = f"{GOOGLE_PROJECT}.contrail_analysts"
ROWS = 40
# The server knows each job for good, as BigQuery does: no two tests may publish the same rows.
_MINUTES = count()


@dataclass
class Cloud:
    """The toy pipeline's lake here, and a warehouse that a client of the test looks into."""

    server: BigQueryServer
    toy: Toy
    scored_at: datetime
    bodies: list[bytes] = field(default_factory=list)

    @cached_property
    def client(self) -> Any:
        from google.cloud import bigquery

        return bigquery.Client(GOOGLE_PROJECT, location="EU")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.client.query_and_wait(sql)]

    def publish(self, start: str = FIRST, end: str = LAST, **options: Any) -> dict[str, CopiedTable]:
        return dict(self.toy.run("publish", start, end, **options).details.tables)

    def score(self, day: date, run_id: str, version: str = "1") -> int:
        """Predictions of a day in the lake, other ones for every run."""
        rows = [self._prediction(day, parcel, run_id, version) for parcel in range(ROWS)]
        dataset = datasets.predictions(self.toy.spec)
        return self.toy.lake.publish(
            dataset, pa.Table.from_pylist(rows, dataset.arrow_schema()), [day], _provenance(run_id)
        )

    def seen(self) -> dict[date, str]:
        """The run that each partition of the warehouse is of; a mix of runs is shown as one."""
        found = self.rows(
            f"SELECT partition_date, STRING_AGG(DISTINCT scoring_run), COUNT(*) FROM `{TABLE}` GROUP BY 1"
        )
        assert {count for _, _, count in found} <= {ROWS}
        return {day: runs for day, runs, _ in found}

    def _prediction(self, day: date, parcel: int, run_id: str, version: str) -> dict[str, Any]:
        value = (parcel * 7919 + len(run_id)) % 1000 / 1000 + 1e-5
        return {
            "partition_date": day, "ship_date": day, "parcel": parcel, "probability": value, "decision": value > 0.5,
            "reason_1": "depot", "reason_1_value": "Zürich|'x'", "reason_1_contribution": -value / 3, "reason_2": None,
            "model_name": "toy", "model_version": version, "feature_snapshot": 2**62 + parcel, "scoring_run": run_id,
            "scored_at": self.scored_at + timedelta(microseconds=parcel),
        }  # fmt: skip


def _provenance(run_id: str) -> Provenance:
    return Provenance(run_id, "test", "", "", "")


@pytest.fixture
def cloud(bigquery_server: BigQueryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Three days of predictions in the lake, and empty datasets."""
    environments = tmp_path / "project" / "include" / "environments"
    environments.mkdir(parents=True)
    shared = yaml.safe_load((PROJECT / "include" / "environments" / "dev.yaml").read_text())
    analysts = yaml.safe_load((PROJECT / "include" / "environments" / "prod.yaml").read_text())["analysts"]
    analysts |= {"project": GOOGLE_PROJECT, "location": "EU"}
    (environments / "warehouse.yaml").write_text(yaml.safe_dump({**shared, "analysts": analysts}))
    identity = Identity(tmp_path)
    for name, value in {
        "CONTRAIL_ENV": "warehouse",
        "CONTRAIL_PROJECT": environments.parents[1],
        "CONTRAIL_HOME": tmp_path / "home",
        "CONTRAIL_PIPELINES": TOY_PIPELINES,
        "BIGQUERY_EMULATOR_HOST": bigquery_server.address,
        "GOOGLE_APPLICATION_CREDENTIALS": identity.key_file,
        # Google's credentials also ask the internet in which regions they are good: it refuses, and they go on.
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(name, str(value))
    settings.cache_clear()
    scored_at = datetime(2024, 1, 8, 6, next(_MINUTES), tzinfo=UTC)
    found = Cloud(bigquery_server, Toy(load_pipeline("toy"), settings()), scored_at)
    for name in ("contrail", "contrail_analysts"):
        found.client.create_dataset(name)
    for day in DAYS:
        found.score(day, "first")

    def remember(moment: str, body: bytes) -> bool:
        found.bodies.append(body)
        return True

    bigquery_server.watch = remember
    yield found
    bigquery_server.watch = lambda moment, body: True
    for name in ("contrail_analysts", "contrail"):
        found.client.delete_dataset(name, delete_contents=True)
    identity.stop()
    settings.cache_clear()


def test_what_is_published_is_what_the_lake_has_with_its_documentation(cloud: Cloud) -> None:
    copied = cloud.publish()
    assert copied["predictions"].partitions == (f"{FIRST}..{LAST}",)
    assert copied["predictions"].lake_snapshot == cloud.toy.lake.snapshot_id("predictions")
    shown = cloud.rows(f"SELECT * FROM `{TABLE}` ORDER BY partition_date, parcel")
    assert shown == cloud.toy.sql("SELECT * FROM predictions ORDER BY partition_date, parcel")
    table = cloud.client.get_table(TABLE)
    dataset = datasets.predictions(cloud.toy.spec)
    assert {f.name: f.description for f in table.schema} == {n: c.doc for n, c in dataset.columns.items()}
    assert {f.name for f in table.schema if f.mode == "REQUIRED"} == {
        n for n, c in dataset.columns.items() if c.required
    }
    assert (table.time_partitioning.field, table.clustering_fields) == ("partition_date", ["ship_date", "parcel"])
    assert (table.description, table.labels) == (dataset.doc, {"pipeline": "toy"})
    tables = {item.table_id for item in cloud.client.list_tables("contrail")}
    assert tables == {f"toy_{name}" for name in ("predictions", "performance", "drift", "publications")}, "no staging"


def test_a_second_time_nothing_is_done(cloud: Cloud) -> None:
    cloud.publish()
    cloud.bodies.clear()
    assert cloud.publish()["predictions"].partitions == ()
    assert cloud.toy.run("publish", FIRST, LAST).unchanged
    assert not [body for body in cloud.bodies if b"TRANSACTION" in body or b'"load"' in body]


def test_a_day_that_was_scored_again_is_replaced_alone(cloud: Cloud) -> None:
    cloud.publish()
    cloud.score(DAYS[1], "second")
    assert cloud.publish()["predictions"].as_dict() == {
        "rows": ROWS,
        "partitions": [str(DAYS[1])],
        "lake_snapshot": cloud.toy.lake.snapshot_id("predictions"),
    }
    assert cloud.seen() == {DAYS[0]: "first", DAYS[1]: "second", DAYS[2]: "first"}
    records = cloud.rows(f"SELECT partition_date, job FROM `{GOOGLE_PROJECT}.contrail.toy_publications` ORDER BY 1")
    assert [day for day, _ in records] == [DAYS[0], DAYS[1], DAYS[1], DAYS[2]]
    assert len({job for _, job in records}) == 2


def test_what_the_lake_went_back_to_is_published_again(cloud: Cloud) -> None:
    before = cloud.toy.lake.snapshot_id("predictions")
    cloud.publish()
    cloud.score(DAYS[0], "second")
    cloud.publish()
    assert before
    cloud.toy.lake.rollback("predictions", before)
    cloud.publish()
    assert set(cloud.seen().values()) == {"first"}


def test_a_day_without_rows_becomes_empty(cloud: Cloud) -> None:
    cloud.publish()
    dataset = datasets.predictions(cloud.toy.spec)
    cloud.toy.lake.publish(dataset, dataset.arrow_schema().empty_table(), [DAYS[2]], _provenance("none"))
    assert cloud.publish()["predictions"].partitions == (LAST,)
    assert cloud.publish()["predictions"].partitions == ()
    assert set(cloud.seen()) == set(DAYS[:2])


def test_a_reader_sees_the_old_rows_or_the_new_ones(cloud: Cloud) -> None:
    """After each request of a publisher. Within the transaction, that is BigQuery's own promise: the emulator stops for
    good when it is asked between a transaction's statements.
    """
    cloud.publish()
    for day in DAYS[:2]:
        cloud.score(day, "second")
    found: list[dict[date, str]] = []

    def look(moment: str, body: bytes) -> bool:
        if moment == "answered":
            cloud.server.watch = lambda *_: True
            found.append(cloud.seen())  # which checks the number of rows
            cloud.server.watch = look
        return True

    cloud.server.watch = look
    cloud.publish()
    old = dict.fromkeys(DAYS, "first")
    new = old | dict.fromkeys(DAYS[:2], "second")
    assert old in found
    assert new in found
    assert all(state in (old, new) for state in found)


def test_a_transaction_that_fails_changes_nothing(cloud: Cloud) -> None:
    cloud.publish()
    cloud.score(DAYS[0], "second")

    def lose_the_staged_rows(moment: str, body: bytes) -> bool:
        if moment == "asked" and _is_transaction(body):
            cloud.server.watch = lambda *_: True
            (staging,) = [t.reference for t in cloud.client.list_tables("contrail") if "predictions__" in t.table_id]
            cloud.client.delete_table(staging)
        return True

    cloud.server.watch = lose_the_staged_rows
    with pytest.raises(ContrailError, match="the job contrail-toy-predictions-"):
        cloud.publish()
    assert set(cloud.seen().values()) == {"first"}
    cloud.publish()  # the job of that name has failed, so another attempt is made
    assert cloud.seen()[DAYS[0]] == "second"


@pytest.mark.parametrize(
    "change",
    [  # the least change of a number, another reason, a row less, a row twice
        "UPDATE `{}` SET probability = probability + 0.000001 WHERE partition_date = '2024-01-06' AND parcel = 3",
        "UPDATE `{}` SET reason_1 = 'weight' WHERE partition_date = '2024-01-06' AND parcel = 3",
        "DELETE FROM `{}` WHERE partition_date = '2024-01-06' AND parcel = 3",
        "INSERT INTO `{0}` SELECT * FROM `{0}` WHERE partition_date = '2024-01-06' AND parcel = 3",
    ],
    ids=["number", "text", "less", "twice"],
)
def test_a_row_that_somebody_changed_is_found_and_mended_when_asked(cloud: Cloud, change: str) -> None:
    cloud.publish()
    cloud.rows(change.format(TABLE))
    with pytest.raises(
        DataError, match=r"in 1 of 3 partitions: 2024-01-06. .* --from 2024-01-06 --to 2024-01-06 .*--again"
    ):
        cloud.publish()
    for _ in range(2):  # the second is another change than the first, although it ends in the same rows
        cloud.publish("2024-01-06", "2024-01-06", tables=["predictions"], again=True)
    assert cloud.publish()["predictions"].partitions == ()


def _is_transaction(body: bytes) -> bool:
    return b"BEGIN TRANSACTION" in body


def _is_load(body: bytes) -> bool:
    return b"PAR1" in body


@pytest.mark.parametrize(
    ("moment", "which", "is_new"),
    [
        ("asked", _is_load, False),
        ("answered", _is_load, False),
        ("asked", _is_transaction, False),
        ("answered", _is_transaction, True),
    ],
)
def test_a_publisher_that_is_killed_leaves_one_or_the_other_and_the_next_goes_on(
    cloud: Cloud, moment: str, which: Callable[[bytes], bool], is_new: bool
) -> None:
    cloud.publish()
    for day in DAYS:
        cloud.score(day, "second")
    arguments = ["publish", "--pipeline", "toy", "--from", FIRST, "--to", LAST]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "include")}
    command = [sys.executable, "-m", "contrail", *arguments]
    process = subprocess.Popen(command, env=environment, cwd=PROJECT, stderr=subprocess.PIPE)

    def kill(now: str, body: bytes) -> bool:
        if now == moment and which(body):
            process.send_signal(signal.SIGKILL)
            return False
        return True

    cloud.server.watch = kill
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert set(cloud.seen().values()) == {"second" if is_new else "first"}
    submitted: list[bytes] = []
    cloud.server.watch = lambda now, body: submitted.append(body) is None
    assert bool(cloud.publish()["predictions"].partitions) is not is_new
    assert set(cloud.seen().values()) == {"second"}
    assert cloud.publish()["predictions"].partitions == ()
    assert cloud.rows(f"SELECT COUNT(*) FROM `{GOOGLE_PROJECT}.contrail.toy_publications`") == [(2 * len(DAYS),)]


def _once(cloud: Cloud, moment: str, which: Callable[[bytes], bool], do: Callable[[], Any]) -> None:
    """At the first such request of a publisher, let something else happen."""

    def watch(now: str, body: bytes) -> bool:
        if now == moment and which(body):
            cloud.server.watch = lambda *_: True
            do()
        return True

    cloud.server.watch = watch


def _asks_what_was_published(body: bytes) -> bool:
    return b"QUALIFY" in body and not _is_transaction(body)


MOMENTS = [
    ("asked", _asks_what_was_published),
    ("answered", _asks_what_was_published),
    ("asked", _is_load),
    ("answered", _is_load),
    ("asked", _is_transaction),
]


@pytest.mark.parametrize(("moment", "which"), MOMENTS)
def test_two_publishers_of_the_same_rows_leave_them_once(
    cloud: Cloud, moment: str, which: Callable[[bytes], bool]
) -> None:
    """As the DAGs score and monitor of a day do."""
    cloud.publish()
    cloud.score(DAYS[1], "second")
    _once(cloud, moment, which, cloud.publish)
    cloud.publish()
    assert cloud.seen()[DAYS[1]] == "second"
    assert cloud.rows(f"SELECT COUNT(*) FROM `{GOOGLE_PROJECT}.contrail.toy_publications`") == [(len(DAYS) + 1,)]
    assert not [t for t in cloud.client.list_tables("contrail") if "__" in t.table_id], "no staging"


@pytest.mark.parametrize(("moment", "which"), MOMENTS)
def test_a_slow_publisher_does_not_bring_older_rows_back(
    cloud: Cloud, moment: str, which: Callable[[bytes], bool]
) -> None:
    cloud.publish()
    cloud.score(DAYS[1], "second")

    def overtake() -> None:
        cloud.score(DAYS[1], "third")
        cloud.publish()

    _once(cloud, moment, which, overtake)
    cloud.publish()
    assert cloud.seen()[DAYS[1]] == "third"
    assert cloud.publish()["predictions"].partitions == ()


def test_analysts_see_their_views_and_nothing_of_a_challenger(cloud: Cloud) -> None:
    performance = records.performance(cloud.toy.spec)
    row = {"partition_date": DAYS[0], "model_name": "toy", "rows": 40, "labelled": 40, "label_coverage": 1.0}
    own, unseen = {"model_version": "1", "shadow": False}, {"model_version": "2", "shadow": True}
    unknown = {"model_version": "0", "shadow": None}  # from before there were challengers
    rows = pa.Table.from_pylist([row | who for who in (own, unseen, unknown)], performance.arrow_schema())
    cloud.toy.lake.publish(performance, rows, [DAYS[0]], _provenance("measured"))
    copied = cloud.publish()
    assert copied["performance"].rows == 3
    assert "drift" not in copied, "the lake has none yet"
    names = {item.table_id for item in cloud.client.list_tables("contrail_analysts")}
    assert names == {f"toy_{name}" for name in ("predictions", "predictions_latest", "model_performance", "drift")}
    seen = cloud.rows(f"SELECT model_version FROM `{VIEWS}.toy_model_performance` ORDER BY 1")
    assert seen == [("0",), ("1",)]
    assert cloud.rows(f"SELECT DISTINCT partition_date FROM `{VIEWS}.toy_predictions_latest`") == [(DAYS[2],)]
    assert cloud.rows(f"SELECT COUNT(*) FROM `{VIEWS}.toy_predictions`") == [(3 * ROWS,)]
    assert cloud.rows(f"SELECT COUNT(*) FROM `{VIEWS}.toy_drift`") == [(0,)]
    latest = cloud.client.get_table(f"{VIEWS}.toy_predictions_latest")
    docs = {name: column.doc for name, column in datasets.predictions(cloud.toy.spec).columns.items()}
    assert {f.name: f.description for f in latest.schema} == {
        name: doc for name, doc in docs.items() if name not in ("feature_snapshot", "scoring_run")
    }


def test_a_renamed_key_is_the_same_in_every_partition(cloud: Cloud) -> None:
    cloud.publish()
    before = cloud.rows(f"SELECT parcel, probability FROM `{TABLE}` ORDER BY partition_date, 1")
    assert settings().analysts
    warehouse = Warehouse(settings().analysts, "toy", {})  # type: ignore[arg-type]
    old = datasets.predictions(cloud.toy.spec)
    columns = {("number" if name == "parcel" else name): column for name, column in old.columns.items()}
    columns["number"] = columns["number"].model_copy(update={"renamed_from": ("parcel",)})
    renamed = replace(old, columns=columns, key=("ship_date", "number"))
    warehouse.ensure(renamed)
    assert cloud.rows(f"SELECT number, probability FROM `{TABLE}` ORDER BY partition_date, 1") == before
    days = Partitions.parse(FIRST, LAST)
    cloud.toy.lake.ensure(renamed)
    rows = cloud.toy.lake.scan("predictions", days)
    assert warehouse.fingerprints(renamed, days) == fingerprints_of(renamed, rows, days)


def test_a_table_gains_columns_and_loses_none(cloud: Cloud) -> None:
    cloud.publish()
    assert settings().analysts
    warehouse = Warehouse(settings().analysts, "toy", {})  # type: ignore[arg-type]
    old = drift_records.drift(cloud.toy.spec)
    gained = {**old.columns, "note": old.columns["verdict"].model_copy(update={"doc": "What to do.", "required": True})}
    warehouse.ensure(datasets.Dataset("drift", "Another description.", gained, old.key))
    table = cloud.client.get_table(warehouse.name_of("drift"))
    assert (table.schema[-1].name, table.schema[-1].mode, table.description) == (
        "note",
        "NULLABLE",
        "Another description.",
    )
    assert cloud.rows(f"SELECT note FROM `{warehouse.name_of('drift')}`") == []
    warehouse.ensure(old)  # the spec no longer has the column
    assert "note" in [field.name for field in cloud.client.get_table(warehouse.name_of("drift")).schema]


def test_what_cannot_be_published_is_said(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInputError, match="has no table 'drift'"):
        cloud.publish(tables=["drift"])
    with pytest.raises(SpecError, match="not published: predictions_shadow"):
        cloud.publish(tables=["predictions_shadow"])
    cloud.client.delete_dataset("contrail", delete_contents=True)
    with pytest.raises(SpecError, match="Terraform makes the datasets"):
        cloud.publish()
    cloud.client.create_dataset("contrail")
    without = settings().model_copy(update={"analysts": None})
    monkeypatch.setattr("contrail.stages.runner.settings", lambda: without)
    with pytest.raises(SpecError, match="has no `analysts`"):
        cloud.publish()


def test_a_load_that_lost_rows_never_reaches_readers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Warehouse.load

    monkeypatch.setattr(Warehouse, "load", lambda self, dataset, files: load(self, dataset, files[1:]))
    with pytest.raises(DataError, match="does not hold the lake's rows"):
        cloud.publish()
    assert cloud.seen() == {}


def test_files_of_a_bucket_are_loaded_by_bigquery_itself(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake's own files, with their partition in the path; the emulator reads them from a folder."""
    monkeypatch.setattr(bigquery, "_MOST_URIS", 2)
    bucket = cloud.server.storage / "lake"
    for file in cloud.toy.lake.files("predictions"):
        own = file[file.index("data/") :]
        (bucket / own).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.removeprefix("file://"), bucket / own)
    found = [f"gs://lake/{path.relative_to(bucket)}" for path in sorted(bucket.rglob("*.parquet"))]
    assert len(found) == len(DAYS)
    assert settings().analysts
    warehouse = Warehouse(settings().analysts, "toy", {})  # type: ignore[arg-type]
    dataset, days = datasets.predictions(cloud.toy.spec), Partitions.parse(FIRST, LAST)
    cloud.bodies.clear()
    staging = warehouse.load(dataset, found)
    loads = [json.loads(body)["configuration"]["load"] for body in dict.fromkeys(cloud.bodies) if b"sourceUris" in body]
    assert [load["sourceUris"] for load in loads] == [found[:2], found[2:]]
    assert not any(_is_load(body) for body in cloud.bodies), "no row passes through this process"
    lake = fingerprints_of(dataset, cloud.toy.lake.scan("predictions", days), days)
    assert warehouse.fingerprints(dataset, days, staging) == lake
    with pytest.raises(SpecError, match=r"Not found: URI gs://lake/none\.parquet"):
        warehouse.load(dataset, ["gs://lake/none.parquet"])


def test_the_fingerprint_is_the_same_in_both(cloud: Cloud) -> None:
    """Of values that engines write in different ways."""
    drift = drift_records.drift(cloud.toy.spec)
    values = [0.0, -0.0, 1e-9, 0.1 + 0.2, -1.5, 123456.789, 2.5e-10, 1e300, -1e300, float("nan"), None]
    rows = [
        {
            "partition_date": DAYS[0], "feature": f"f{i}|ü", "statistic": "psi", "value": value, "threshold": 0.1,
            "unusual": i % 2 == 0, "unusual_days": None, "verdict": "", "rows": i, "model_name": "toy",
            "model_version": "1",
        }
        for i, value in enumerate(values)
    ]  # fmt: skip
    cloud.toy.lake.publish(drift, pa.Table.from_pylist(rows, drift.arrow_schema()), [DAYS[0]], _provenance("d"))
    assert cloud.publish(tables=["drift"])["drift"].rows == len(values)
    assert settings().analysts
    warehouse = Warehouse(settings().analysts, "toy", {})  # type: ignore[arg-type]
    (found,) = warehouse.fingerprints(drift, Partitions(DAYS[0], DAYS[0])).values()
    assert found.rows == len(values)

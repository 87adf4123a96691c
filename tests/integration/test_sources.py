"""Tables whose rows come from a database: from Debian's Postgres, and from BigQuery's emulator by Google's own client."""

import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from google.cloud import bigquery as google
from tests.conftest import TOY_PIPELINES, Toy
from tests.landed import lines_of
from tests.loopback.bigquery import BigQueryServer
from tests.loopback.identity import PROJECT as GOOGLE_PROJECT
from tests.loopback.identity import Identity
from tests.servers import Servers

from contrail.cli import app
from contrail.config.pipeline import load_pipeline
from contrail.config.settings import settings
from contrail.errors import EngineError, SpecError
from contrail.operations.backfill import Backfills
from contrail.operations.land import land_files
from contrail.operations.late import correct
from contrail.partitions import Partitions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DAY, NEXT = "2024-01-05", "2024-01-06"
TABLE = f"`{GOOGLE_PROJECT}.shop.deliveries`"
COLUMNS = "ship_date, parcel, delay, delivered_at"
QUERY = f"""
SELECT {COLUMNS} -- all of them
FROM shop.deliveries
WHERE delivered_at >= :start AND delivered_at < :end AND 'a:day%' <> ''
"""
# The emulator loses its way in the comment and the text of the other query.
OF_BIGQUERY = f"SELECT {COLUMNS} FROM {TABLE} WHERE delivered_at >= :start AND delivered_at < :end"


class Shop:
    """A toy whose deliveries come from a database."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "pipelines"
        shutil.copytree(TOY_PIPELINES / "toy", self._folder / "toy")
        monkeypatch.setenv("CONTRAIL_PIPELINES", str(self._folder))

    def asks(self, **source: Any) -> Toy:
        path = self._folder / "toy" / "pipeline.yaml"
        values = yaml.safe_load(path.read_text())
        values["tables"]["deliveries"]["source"] = source
        path.write_text(yaml.safe_dump(values))
        settings.cache_clear()
        return Toy(load_pipeline("toy"), settings())


def rows_of(toy: Toy) -> list[tuple[str, ...]]:
    """Two days of deliveries, as their own source would land them; then no source lands them any more."""
    toy.land(DAY, NEXT)
    found = [tuple(line.split(",")) for day in (DAY, NEXT) for line in lines_of(toy, "deliveries", day)[1:]]
    shutil.rmtree(Path(str(toy.landing)) / "deliveries")
    return found


def land(toy: Toy, start: str = DAY, end: str = NEXT) -> list[str]:
    """Land the days, without the other tables. Return the names of the files of deliveries."""
    (toy.pipeline.folder / "source.py").rename(aside := toy.pipeline.folder / "aside.txt")
    try:
        land_files(toy.pipeline, toy.settings, Partitions.parse(start, end), lambda _: None)
    finally:
        aside.rename(toy.pipeline.folder / "source.py")
    return sorted(path.name for path in (Path(str(toy.landing)) / "deliveries").iterdir())


@pytest.fixture
def shop(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


# ---- Postgres ----


@pytest.fixture
def postgres(shop: Shop, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shop, Toy]]:
    """A database with two days of deliveries, whose own time zone is far away."""
    password = servers.secrets["POSTGRES_PASSWORD"]
    address = f"postgresql://postgres:{password}@127.0.0.1:{servers.postgres_port}/postgres"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"{address}?options=-c%20TimeZone%3DAsia/Tokyo")
    toy = shop.asks(kind="postgres", connection="shop", query=QUERY)
    listed = ", ".join(f"('{a}', {b}, {c}, '{d}', '')" for a, b, c, d in rows_of(toy))
    _commit(
        servers,
        f"""
        DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop;
        CREATE TABLE shop.deliveries (ship_date date, parcel int, delay float8, delivered_at timestamptz, note text);
        INSERT INTO shop.deliveries VALUES {listed}
    """,
    )
    yield shop, toy


def _commit(servers: Servers, statements: str) -> None:
    import psycopg2

    with psycopg2.connect(
        user="postgres", password=servers.secrets["POSTGRES_PASSWORD"], host="127.0.0.1", port=servers.postgres_port,
        dbname="postgres",
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute(statements)


def test_a_days_rows_land_once_and_changed_rows_as_the_next_delivery(
    postgres: tuple[Shop, Toy], servers: Servers
) -> None:
    _, toy = postgres
    # A day without rows has no file.
    assert land(toy, "2024-01-03") == [f"{DAY}.parquet", f"{NEXT}.parquet"]
    first = (Path(str(toy.landing)) / "deliveries" / f"{DAY}.parquet").read_bytes()
    _commit(servers, "CREATE TABLE shop.other AS SELECT * FROM shop.deliveries ORDER BY random(); "
                     "DROP TABLE shop.deliveries; ALTER TABLE shop.other RENAME TO deliveries")  # fmt: skip
    assert land(toy) == [f"{DAY}.parquet", f"{NEXT}.parquet"]  # the same rows in another order
    (Path(str(toy.landing)) / "deliveries" / f"{DAY}.parquet").unlink()
    land(toy)
    assert (Path(str(toy.landing)) / "deliveries" / f"{DAY}.parquet").read_bytes() == first
    toy.run("ingest", DAY)
    _commit(servers, f"UPDATE shop.deliveries SET delay = delay + 60 WHERE delivered_at < '{NEXT} 05:00:00Z'")
    assert land(toy) == [f"{DAY}.2.parquet", f"{DAY}.parquet", f"{NEXT}.parquet"]
    assert toy.run("ingest", DAY).details.replaced == (f"deliveries {DAY}",)


def test_what_is_landed_is_validated_as_from_a_file(postgres: tuple[Shop, Toy], servers: Servers) -> None:
    _, toy = postgres
    land(toy)
    toy.run("ingest", DAY)
    toy.run("validate", DAY)
    found = toy.sql("SELECT parcel, delay, epoch_us(delivered_at) FROM validated_deliveries ORDER BY parcel, delay")
    expected = servers.query(
        "postgres", "postgres",
        "SELECT parcel, delay, (extract(epoch FROM delivered_at) * 1000000)::bigint FROM shop.deliveries "
        f"WHERE delivered_at >= '{DAY} 05:00Z' AND delivered_at < '{NEXT} 05:00Z' ORDER BY parcel, delay",
    )  # fmt: skip
    assert len(found) and found == expected
    assert not toy.sql("SELECT * FROM quarantine WHERE table_name = 'deliveries'")


def test_null_stays_apart_from_an_empty_text(postgres: tuple[Shop, Toy]) -> None:
    shop, _ = postgres
    values = "(VALUES (1, '', E'a\"\\n,'), (2, NULL, '')) AS t (parcel, delay, delivered_at)"
    toy = shop.asks(kind="postgres", connection="shop", query=f"SELECT :day AS ship_date, * FROM {values}")
    land(toy, DAY, DAY)
    landed = pq.read_table(Path(str(toy.landing)) / "deliveries" / f"{DAY}.parquet").to_pydict()
    assert landed == {
        "ship_date": [DAY, DAY], "parcel": ["1", "2"], "delay": ["", None], "delivered_at": ['a"\n,', ""]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1 WHERE :day IS NULL", "Postgres refuses the query: syntax error"),
        ("SELECT * FROM shop.nothing WHERE d = :day", 'relation "shop.nothing" does not exist'),
        (
            "SELECT ship_date, parcel, delay FROM shop.deliveries WHERE ship_date = :day",
            "column 'delivered_at' is missing",
        ),
        ("SELECT * FROM shop.deliveries WHERE ship_date = :day", "column 'note' is not in the spec"),
    ],
)
def test_a_wrong_query_names_its_place(postgres: tuple[Shop, Toy], query: str, words: str) -> None:
    shop, _ = postgres
    toy = shop.asks(kind="postgres", connection="shop", query=query)
    with pytest.raises(SpecError) as caught:
        land(toy)
    assert words in str(caught.value) and "pipeline.yaml: tables.deliveries.source" in str(caught.value)
    assert not (Path(str(toy.landing)) / "deliveries").exists()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda address: None, SpecError, "there is no connection 'shop'. Set AIRFLOW_CONN_SHOP"),
        (lambda address: "not an address", SpecError, "AIRFLOW_CONN_SHOP is no address of Postgres"),
        (
            lambda address: address.replace(":postgres:", ":nobody:").replace("//postgres:", "//nobody:"),
            SpecError,
            "refuses",
        ),
        (lambda address: "postgresql://postgres:hush@127.0.0.1:1/postgres", EngineError, "does not answer properly"),
    ],
)
def test_a_wrong_connection_is_told_without_its_password(
    postgres: tuple[Shop, Toy], monkeypatch: pytest.MonkeyPatch, servers: Servers, change: Any, error: Any, words: str
) -> None:
    _, toy = postgres
    address = change(os.environ["AIRFLOW_CONN_SHOP"])
    if address is None:
        monkeypatch.delenv("AIRFLOW_CONN_SHOP")
    else:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", address)
    with pytest.raises(error) as caught:
        land(toy)
    said = str(caught.value)
    assert words in said and servers.secrets["POSTGRES_PASSWORD"] not in said and "hush" not in said


def test_an_account_without_the_right_is_told(
    postgres: tuple[Shop, Toy], servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, toy = postgres
    _commit(servers, "DROP OWNED BY reader; DROP ROLE reader" if _has_role(servers) else "SELECT 1")
    _commit(servers, "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA shop TO reader")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"postgres://reader:reader@127.0.0.1:{servers.postgres_port}/postgres")
    with pytest.raises(SpecError, match=r"permission denied for table deliveries.* the right to read it"):
        land(toy)


def _has_role(servers: Servers) -> bool:
    return bool(servers.query("postgres", "postgres", "SELECT 1 FROM pg_roles WHERE rolname = 'reader'"))


def test_the_command_lands_files_and_rows(postgres: tuple[Shop, Toy], monkeypatch: pytest.MonkeyPatch) -> None:
    _, toy = postgres
    monkeypatch.setattr(sys, "argv", ["contrail", "land", "-p", "toy", "--from", DAY, "--to", NEXT])
    app.main()
    assert (Path(str(toy.landing)) / "parcels" / f"{DAY}.csv.gz").exists()
    assert (Path(str(toy.landing)) / "deliveries" / f"{NEXT}.parquet").exists()


def test_a_days_run_lands_what_is_known_then_and_finds_late_rows(postgres: tuple[Shop, Toy], servers: Servers) -> None:
    _, toy = postgres
    (Path(str(toy.landing)) / "parcels" / f"{NEXT}.csv.gz").unlink()
    land(toy, DAY, DAY)
    for verb in ("ingest", "validate"):
        toy.run(verb, DAY)
    _commit(servers, f"DELETE FROM shop.deliveries WHERE parcel = 1 AND delivered_at < '{NEXT} 05:00Z'")
    correct(Backfills(toy.pipeline, toy.settings, toy.lake), Partitions.parse("2024-01-07").start)
    # The 7th is not over at its cut-off, so it has no file yet.
    landed = sorted(path.name for path in (Path(str(toy.landing)) / "deliveries").iterdir())
    assert landed == [f"{DAY}.2.parquet", f"{DAY}.parquet", f"{NEXT}.parquet"]
    assert toy.sql(f"SELECT DISTINCT _file FROM raw_deliveries WHERE partition_date = '{DAY}'") == [
        (f"deliveries/{DAY}.2.parquet",)
    ]


# ---- BigQuery ----


@pytest.fixture
def bigquery(
    shop: Shop, bigquery_server: BigQueryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A client of the emulator, which ``contrail land`` asks, too."""
    identity = Identity(tmp_path)
    for name, value in {
        "BIGQUERY_EMULATOR_HOST": bigquery_server.address,
        "GOOGLE_APPLICATION_CREDENTIALS": identity.key_file,
        "https_proxy": "http://127.0.0.1:9",
        "no_proxy": "127.0.0.1,localhost",
    }.items():
        monkeypatch.setenv(name, str(value))
    client = google.Client(GOOGLE_PROJECT, location="EU")
    client.create_dataset("shop", exists_ok=True)
    yield client
    client.delete_dataset("shop", delete_contents=True, not_found_ok=True)
    identity.stop()


def as_parquet(rows: list[tuple[str, ...]]) -> io.BytesIO:
    """Rows of the toy with the types that BigQuery's table has."""
    days, parcels, delays, instants = (pa.array(column, pa.string()) for column in zip(*rows, strict=True))
    file = io.BytesIO()
    pq.write_table(
        pa.table(
            {
                "ship_date": days.cast(pa.date32()),
                "parcel": parcels.cast(pa.int64()),
                "delay": delays.cast(pa.float64()),
                "delivered_at": instants.cast(pa.timestamp("us", "UTC")),
            }
        ),
        file,
    )
    file.seek(0)
    return file


def test_rows_of_bigquery_land_as_a_day(shop: Shop, bigquery: Any) -> None:
    toy = shop.asks(kind="bigquery", project=GOOGLE_PROJECT, location="EU", query=OF_BIGQUERY)
    kinds = {"ship_date": "DATE", "parcel": "INT64", "delay": "FLOAT64", "delivered_at": "TIMESTAMP"}
    schema = [google.SchemaField(name, kind) for name, kind in kinds.items()]
    bigquery.create_table(google.Table(TABLE.strip("`"), schema=schema))
    config = google.LoadJobConfig(schema=schema, source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    bigquery.load_table_from_file(as_parquet(rows_of(toy)), TABLE.strip("`"), job_config=config).result()
    assert land(toy) == [f"{DAY}.parquet", f"{NEXT}.parquet"] == land(toy)
    toy.run("ingest", DAY)
    toy.run("validate", DAY)
    ((good, bad),) = toy.sql(
        "SELECT (SELECT count(*) FROM validated_deliveries), (SELECT count(*) FROM quarantine WHERE table_name = 'deliveries')"
    )
    ((expected,),) = [
        tuple(row.values())
        for row in bigquery.query_and_wait(
            f"SELECT COUNT(*) FROM {TABLE} WHERE delivered_at >= TIMESTAMP '{DAY} 05:00:00Z' "
            f"AND delivered_at < TIMESTAMP '{NEXT} 05:00:00Z'"
        )
    ]
    assert (good, bad) == (expected, 0) and good


def test_a_table_that_bigquery_does_not_have_is_told(shop: Shop, bigquery: Any) -> None:
    toy = shop.asks(
        kind="bigquery",
        project=GOOGLE_PROJECT,
        location="EU",
        query=OF_BIGQUERY.replace("deliveries", "nothing"),
    )
    with pytest.raises(SpecError, match=r"tables.deliveries.source: it does not exist"):
        land(toy)

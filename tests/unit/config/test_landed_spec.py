"""How a table lands, as the spec may say it, and what is refused with its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import TOY_PIPELINES

from contrail.config.spec import load_spec
from contrail.errors import SpecError

QUERY = "SELECT * FROM t WHERE d = :day"


def spec_with(folder: Path, table: str, **parts: Any) -> Path:
    """The toy's spec, with these keys of a table."""
    values = yaml.safe_load((TOY_PIPELINES / "toy" / "pipeline.yaml").read_text())
    values["tables"][table] |= parts
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("parts", "files", "kind"),
    [
        ({}, "{date}.csv.gz", "csv"),
        ({"landed": {"format": "jsonl"}}, "{date}.jsonl.gz", "jsonl"),
        ({"landed": {"format": "parquet"}}, "{date}.parquet", "parquet"),
        ({"landed": {"files": "{date}/p-*.parquet"}}, "{date}/p-*.parquet", "parquet"),
        ({"landed": {"files": "{date}.ndjson.zst"}}, "{date}.ndjson.zst", "jsonl"),
        ({"landed": {"files": "{date}.tsv", "format": "csv", "delimiter": "\t"}}, "{date}.tsv", "csv"),
        ({"source": {"kind": "postgres", "connection": "shop", "query": QUERY}}, "{date}.parquet", "parquet"),
    ],
)
def test_format_and_names_follow_from_what_is_said(tmp_path: Path, parts: Any, files: str, kind: str) -> None:
    table = load_spec(spec_with(tmp_path, "deliveries", **parts)).tables["deliveries"]
    assert (table.file_names.pattern, table.format) == (files, kind)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"landed": {"filse": "x"}}, "landed.filse: unknown key; did you mean 'files'?"),
        ({"landed": {"files": "all.csv"}}, "deliveries.landed.files: use {date} once"),
        ({"landed": {"files": "{date}.dat"}}, "landed.files: the names do not tell the format"),
        ({"landed": {"files": "{date}.csv", "format": "jsonl"}}, "landed.format: the names in files say csv"),
        ({"landed": {"files": "{date}.parquet.gz"}}, "landed.files: Parquet compresses its own pages"),
        ({"landed": {"complete": "_SUCCESS"}}, "landed.complete: use {date} once"),
        (
            {"landed": {"files": "{date}/*.csv", "complete": "x/{date}"}},
            "landed.complete: the marker lies in the folder",
        ),
        ({"landed": {"delimiter": ";;"}}, "landed.delimiter: ';;' cannot part fields"),
        ({"landed": {"decimal": ","}}, "landed.decimal: it is the delimiter, too"),
        ({"landed": {"encoding": "utf-99"}}, "landed.encoding: no such encoding: 'utf-99'"),
        ({"landed": {"encoding": "base64"}}, "landed.encoding: no such encoding: 'base64'"),
        ({"landed": {"format": "jsonl", "quote": "'"}}, "landed.quote: only CSV has it"),
        ({"source": {"kind": "oracle", "query": QUERY}}, "source.kind: Input should be 'postgres' or 'bigquery'"),
        ({"source": {"kind": "postgres", "query": QUERY}}, "source: Postgres needs connection"),
        ({"source": {"kind": "bigquery", "connection": "x", "query": QUERY}}, "source.connection: bigquery has no"),
        ({"source": {"kind": "bigquery", "query": "SELECT 1"}}, "source.query: it gives the same rows for every day"),
        (
            {"source": {"kind": "bigquery", "query": QUERY}, "landed": {"format": "csv"}},
            "landed.format: rows of a source are landed as Parquet",
        ),
        (
            {"source": {"kind": "bigquery", "query": QUERY}, "landed": {"files": "{date}-*.parquet"}},
            "landed.files: rows of a source are landed as one file a day",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(tmp_path: Path, parts: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec_with(tmp_path, "deliveries", **parts))
    assert said in str(caught.value)

"""pipeline.yaml is typed. The error for a wrong key has its file, its path and the nearest valid name."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrail.config.spec import load_spec, spec_hash
from contrail.errors import SpecError

TOY = Path(__file__).resolve().parents[2] / "pipelines" / "toy"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the toy spec with one value changed at a dotted path."""

    def change(path: str, value: Any) -> Path:
        values = yaml.safe_load((TOY / "pipeline.yaml").read_text())
        *parents, last = path.split(".")
        target = values
        for parent in parents:
            target = target[parent]
        target[last] = value
        file = tmp_path / "pipeline.yaml"
        file.write_text(yaml.safe_dump(values))
        return file

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("onwer", "me", "onwer: unknown key; did you mean 'owner'?"),
        ("train.max_rounds", 3, "train.max_rounds: unknown key; did you mean 'rounds'?"),
        ("tables.parcels.colums", {}, "tables.parcels.colums: unknown key; did you mean 'columns'?"),
        ("tables.parcels.columns.depot.typ", "x", "columns.depot.typ: unknown key; did you mean 'type'?"),
        ("features.columns.weight.dco", "x", "features.columns.weight.dco: unknown key; did you mean 'doc'?"),
        ("task", "classify", "task: Input should be 'binary' or 'regression'"),
        ("first_partition", date(1, 1, 1), "first_partition: Input should be greater than or equal to 1678-01-01"),
        ("last_partition", date(9999, 12, 31), "last_partition: Input should be less than or equal to 2261-12-31"),
        ("schedule.start_date", date(1, 1, 1), "start_date: Input should be greater than or equal to 1678-01-01"),
        ("entities", "parcel", "no table named 'parcel'"),
        ("key", ["nope"], "key columns ['nope'] are not columns"),
        (
            "tables.deliveries.key",
            ["ship_date", "parcel", "delivered_at"],
            "label.table: table 'deliveries' has the key",
        ),
        ("tables.parcels.key", ["ship_date", "parcel", "depot"], "entities: table 'parcels' has the key"),
        ("tables.deliveries.kind", "reference", "label.table 'deliveries' must be daily"),
        ("label.counts", "last", "label.counts: Input should be 'newest' or 'first'"),
        ("tables.deliveries.known_at", "delay", "known_at column delay must have type timestamp"),
        ("tables.deliveries.known_ahead", True, "cannot be known_ahead: that would be the future"),
        ("tables.parcels.known_ahead", False, "must be known_ahead"),
        ("train.segments", ["colour"], "['colour'] are named in train or gate but are not in features.columns"),
        ("retrain", {"drift_days": 6}, "retrain needs drift_days <= drift_of_days"),
        ("drift", {"raise_days": 6}, "hysteresis needs clear_days < raise_days <= of_days"),
    ],
)
def test_a_wrong_spec_names_file_place_and_rule(
    write: Callable[..., Path], path: str, value: Any, message: str
) -> None:
    file = write(path, value)
    with pytest.raises(SpecError) as raised:
        load_spec(file)
    assert str(file) in str(raised.value)
    assert message in str(raised.value)


def test_a_file_that_is_not_yaml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="does not exist"):
        load_spec(tmp_path / "pipeline.yaml")
    (tmp_path / "pipeline.yaml").write_text("a: [1")
    with pytest.raises(SpecError, match="is not YAML"):
        load_spec(tmp_path / "pipeline.yaml")


def test_the_hash_follows_the_folder(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("a: 1")
    before = spec_hash(tmp_path)
    (tmp_path / "features.py").write_text("x = 1")
    assert spec_hash(tmp_path) != before

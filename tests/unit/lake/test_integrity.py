"""Changed bytes are noticed wherever they are in a data file, by every reader, with the command that heals them."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tests.unit.lake.shop import DAY1, DAY2, DAY3, LOOKUP, provenance, rows

from contrail.config.settings import settings
from contrail.config.table_spec import ColumnSpec
from contrail.errors import DamagedError
from contrail.lake import data_files
from contrail.lake.datasets import Dataset
from contrail.lake.lake import Lake
from contrail.lake.provenance import Provenance
from contrail.partitions import Partitions

COLUMNS = {
    "partition_date": ColumnSpec(type="date"),
    "id": ColumnSpec(type="int"),
    "colour": ColumnSpec(type="string", required=False),
}
FEATURES = Dataset("features", "", COLUMNS, ("id",))


def file_of(lake: Lake, name: str, day: date | None = None) -> Path:
    found = [Path(uri.removeprefix("file://")) for uri in lake.files(name, Partitions(day, day) if day else None)]
    return found[0]


READERS: dict[str, Callable[[Lake], object]] = {
    "scan": lambda lake: lake.scan("features"),
    "one column": lambda lake: lake.scan("features", columns=["id"]),
    "files": lambda lake: lake.files("features", Partitions(DAY2, DAY2)),
    "connect": lambda lake: lake.connect().__enter__(),
}


@budget(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), reader=st.sampled_from(sorted(READERS)))
def test_a_changed_byte_anywhere_is_noticed(home: Path, place: float, flip: int, reader: str) -> None:
    lake = Lake(settings(), "shop")
    if not lake.exists("features"):
        lake.publish(FEATURES, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    path = file_of(lake, "features", DAY2)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[int(place * len(whole))] ^= flip
    path.write_bytes(changed)
    try:
        with pytest.raises(DamagedError) as refused:
            READERS[reader](lake)
    finally:
        path.write_bytes(whole)
    told = str(refused.value)
    assert "shop.features" in told
    assert f"features 2024-01-02: file://{path} has other bytes" in told
    assert "\n  contrail features -p shop --from 2024-01-02 --to 2024-01-02" in told
    assert lake.scan("features", Partitions(DAY1, DAY1)).num_rows == 3, "other partitions can be read"


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "reason"), [(Path.unlink, "is missing"), (_truncate, r"has [\d,]+ bytes; [\d,]+ were written")]
)
def test_missing_and_shortened_files_are_told(lake: Lake, damage: Callable[[Path], None], reason: str) -> None:
    lake.publish(FEATURES, rows([DAY1]), [DAY1], provenance())
    damage(file_of(lake, "features"))
    with pytest.raises(DamagedError, match=reason):
        lake.scan("features")


def test_a_file_without_a_digest_in_its_name_is_compared_by_its_size(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = data_files.location
    monkeypatch.setattr(
        data_files, "location", lambda *given: re.sub(r"-[0-9a-f]{64}\.parquet$", ".parquet", named(*given))
    )
    lake.publish(FEATURES, rows([DAY1]), [DAY1], provenance())
    assert lake.scan("features").num_rows == 3
    _truncate(file_of(lake, "features"))
    with pytest.raises(DamagedError, match="bytes"):
        lake.scan("features")


def advised_after_a_loss(lake: Lake) -> list[str]:
    """The lines of the error that a reader gets when all files of the predictions are gone."""
    for uri in lake.files("predictions"):
        Path(uri.removeprefix("file://")).unlink()
    with pytest.raises(DamagedError) as refused:
        lake.scan("predictions")
    return str(refused.value).splitlines()


def test_days_that_lie_together_have_one_command(lake: Lake) -> None:
    days = [DAY1, DAY2, DAY3, date(2024, 1, 9)]
    scored = Provenance("r", "score", "", "", "", extra={"model_version": "4"})
    lake.publish(Dataset("predictions", "", COLUMNS, ("id",)), rows(days), days, scored)
    assert advised_after_a_loss(lake)[-2:] == [
        "  contrail score -p shop --from 2024-01-01 --to 2024-01-03 --model 4",
        "  contrail score -p shop --from 2024-01-09 --to 2024-01-09 --model 4",
    ]


def test_days_of_two_versions_are_made_again_by_their_own(lake: Lake) -> None:
    predictions = Dataset("predictions", "", COLUMNS, ("id",))
    for day, version in ((DAY1, "4"), (DAY2, "5"), (DAY3, "5")):
        scored = Provenance("r", "score", "", "", "", extra={"model_version": version})
        lake.publish(predictions, rows([day]), [day], scored)
    assert advised_after_a_loss(lake)[-2:] == [
        "  contrail score -p shop --from 2024-01-01 --to 2024-01-01 --model 4",
        "  contrail score -p shop --from 2024-01-02 --to 2024-01-03 --model 5",
    ]


def test_a_table_without_partitions_is_made_again_by_a_run_of_its_newest_day(lake: Lake) -> None:
    for name in ("validated_lookup", "validated_items"):
        own = LOOKUP if name.endswith("lookup") else FEATURES
        staged = pa.table({"id": [1, 2]}) if own is LOOKUP else rows([DAY1, DAY3])
        table = Dataset(name, "", own.columns, own.key, own.partition_by)
        lake.publish(table, staged, None if own is LOOKUP else [DAY1, DAY2, DAY3], provenance())
    file_of(lake, "validated_lookup").unlink()
    with pytest.raises(DamagedError, match="\n  contrail validate -p shop --from 2024-01-03 --to 2024-01-03"):
        lake.scan("validated_lookup")


def test_an_old_snapshot_is_not_made_again(lake: Lake) -> None:
    first = lake.publish(FEATURES, rows([DAY1]), [DAY1], provenance())
    path = file_of(lake, "features")
    lake.publish(FEATURES, rows([DAY1], "blue"), [DAY1], provenance())
    path.unlink()
    assert lake.scan("features").num_rows == 3
    with pytest.raises(DamagedError, match="Restore the files from a backup"):
        lake.scan("features", snapshot_id=first)


def test_what_no_stage_makes_again_can_be_given_up(lake: Lake) -> None:
    governor = Dataset("governor", "", COLUMNS, ("id",))
    lake.publish(governor, rows([DAY1]), [DAY1], provenance())
    lake.publish(governor, rows([DAY2]), [DAY2], provenance())
    file_of(lake, "governor", DAY1).unlink()
    with pytest.raises(DamagedError, match="\n  contrail verify -p shop --give-up governor"):
        lake.scan("governor")
    found = lake.verify("governor")
    assert (found.files, [damage.day for damage in found.damages]) == (2, [DAY1])
    lake.give_up(found, provenance("given-up"))
    assert lake.scan("governor")["partition_date"].to_pylist() == [DAY2] * 3
    assert lake.verify("governor").damages == ()
    assert lake.lineage("governor").maker(DAY1).provenance.run_id == "given-up"  # type: ignore[union-attr]


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["manifest", "list"])
def test_a_manifest_that_was_cut_off_hides_no_rows(lake: Lake, kind: str, part: float) -> None:
    before = lake.publish(FEATURES, rows([DAY1, DAY2]), [DAY1, DAY2], provenance())
    lake.publish(FEATURES, rows([DAY2, DAY3], "blue"), [DAY2, DAY3], provenance())
    table = lake.table("features")
    snapshot = table.current_snapshot()
    assert snapshot is not None
    location = snapshot.manifests(table.io)[0].manifest_path if kind == "manifest" else snapshot.manifest_list
    path = Path(location.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    every = READERS | {
        "partitions": lambda lake: lake.partitions("features"),
        "verify": lambda lake: lake.verify("features"),
        "publish": lambda lake: lake.publish(FEATURES, rows([DAY1]), [DAY1], provenance()),
    }
    for act in every.values():
        with pytest.raises(
            DamagedError, match=rf"(?s){path.name} cannot be read .*\n  contrail rollback features -p shop"
        ):
            act(Lake(settings(), "shop"))
    lake.rollback("features", before)
    assert lake.scan("features").num_rows == 6

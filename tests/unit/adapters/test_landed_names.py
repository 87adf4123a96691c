"""Names in a landing folder: which one is read, which are ignored, and what a wrong one should be called."""

import random
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrail.adapters.landed_names import read_names
from contrail.config.file_names import FileNames

DAILY, REFERENCE = FileNames("{date}.csv.gz", daily=True), FileNames("reference.csv.gz", daily=False)
DAY = date(2024, 2, 20)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("2024-02-20.CSV.gz", "2024-02-20.csv.gz"),
        ("2024-02-20.csv.GZ", "2024-02-20.csv.gz"),
        ("2024-02-20 (1).csv.gz", "2024-02-20.csv.gz"),
        ("2024-02-20.csv (1).gz", "2024-02-20.csv.gz"),
        ("20240220.csv.gz", "2024-02-20.csv.gz"),
        ("2024-2-20.csv.gz", "2024-02-20.csv.gz"),
        ("2024_02_20.csv.gz", "2024-02-20.csv.gz"),
        ("parcels-2024-02-20.csv.gz", "2024-02-20.csv.gz"),
        ("2024-02-20.csv.gz ", "2024-02-20.csv.gz"),
        ("2024-02-20.v2.csv.gz", "2024-02-20.csv.gz"),
        ("2024-02-20.csv", "compress it with gzip and name it 2024-02-20.csv.gz"),
        ("2024-02-20.csv.zip", "2024-02-20.csv.gz"),
        ("2024-02-20.tsv.gz", "2024-02-20.csv.gz"),
        ("2024-02-20", "2024-02-20.csv.gz"),
        ("٢٠٢٤-02-20.csv.gz", "<YYYY-MM-DD>.csv.gz"),
        ("2024-02-30.csv.gz", "2024-02-30 is no day"),
        ("reference.csv.gz", "<YYYY-MM-DD>.csv.gz"),
        ("20-02-2024.csv.gz", "<YYYY-MM-DD>.csv.gz"),
        ("2024-02-20..2024-02-21.csv.gz", "<YYYY-MM-DD>.csv.gz"),
        ("notes", "else move it away"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(name: str, right: str) -> None:
    found = read_names([name], DAILY)
    (stray,) = found.strays
    assert found.files == {} and right in stray.detail and stray.rule == "misnamed_file"
    assert stray.day == (DAY if "name it 2024-02-20.csv.gz" in stray.detail else None)


def test_a_copy_beside_its_day_gets_the_next_number() -> None:
    found = read_names(["2024-02-20.csv.gz", "2024-02-20.3.csv.gz", "2024-02-20 (1).csv.gz"], DAILY)
    assert found.files == {"2024-02-20": ("2024-02-20.3.csv.gz",)}
    assert "name it 2024-02-20.4.csv.gz" in found.strays[0].detail


def test_a_reference_table_expects_one_name() -> None:
    found = read_names(["reference.csv.gz", "2024-02-20.csv.gz", "Reference.csv.gz"], REFERENCE)
    assert found.files == {"reference": ("reference.csv.gz",)}
    assert ["name it reference.2.csv.gz" in stray.detail for stray in found.strays] == [True, True]


@pytest.mark.parametrize(
    "pair", [("2024-02-20.csv.gz", "2024-02-20.1.csv.gz"), ("2024-02-20.2.csv.gz", "2024-02-20.02.csv.gz")]
)
def test_two_names_of_the_same_number_are_refused_in_any_order(pair: tuple[str, str]) -> None:
    for names in (pair, pair[::-1]):
        found = read_names(names, DAILY)
        assert found.files == {}
        assert [(stray.rule, stray.day) for stray in found.strays] == [("same_number", DAY)]
    assert read_names([*pair, "2024-02-20.3.csv.gz"], DAILY).files == {"2024-02-20": ("2024-02-20.3.csv.gz",)}


@pytest.mark.parametrize("name", [".2024-02-20.csv.gz.1f2e", "_SUCCESS", ".DS_Store", "_2024-02-20.csv.gz"])
def test_hidden_names_are_ignored(name: str) -> None:
    found = read_names([name], DAILY)
    assert not (found.files or found.strays or found.unfinished)


def test_an_upload_that_has_not_ended_is_no_file_and_no_stray() -> None:
    names = [f"2024-02-20.csv.gz{end}" for end in (".part", ".tmp", ".filepart", ".crdownload", "~", ".PARTIAL")]
    found = read_names(names, DAILY)
    assert sorted(found.unfinished) == sorted(names) and not (found.files or found.strays)


def test_a_checksum_belongs_to_its_file() -> None:
    names = ["2024-02-20.csv.gz", "2024-02-20.csv.gz.sha256", "2024-02-20.csv.gz.md5", "all.csv.gz.md5"]
    found = read_names(names, DAILY)
    assert found.sidecars == {"2024-02-20.csv.gz": ["2024-02-20.csv.gz.md5", "2024-02-20.csv.gz.sha256"]}
    assert [stray.name for stray in found.strays] == ["all.csv.gz.md5"]


NAMES = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=12),
        st.from_regex(r"2024-0[12]-(29|30)(\.[0-3])?\.(csv|CSV)\.gz(\.tmp)?", fullmatch=True),
    ),
    unique=True,
    max_size=8,
)


@given(NAMES, st.sampled_from([DAILY, REFERENCE]), st.randoms())
def test_every_name_is_read_told_or_ignored_by_rule(
    names: list[str], layout: FileNames, any_order: random.Random
) -> None:
    found = read_names(names, layout)
    older = {name for name in names if read_names([name], layout).files}
    told = {stray.name for stray in found.strays}
    for name in names:
        ignored = any(part.startswith((".", "_")) for part in name.split("/")) or name in found.unfinished
        assert ignored + (name in told or name in older) == 1
    assert all(sum(name.startswith(stem) for name in older) for stem in found.files)
    any_order.shuffle(names)
    assert read_names(names, layout) == found

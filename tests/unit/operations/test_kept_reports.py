"""No name reaches a file outside the reports of its kind. The page's tests serve them."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from upath import UPath

from contrail.errors import MissingInputError
from contrail.operations.kept_reports import KINDS, kept_reports, read_report

PIECES = st.sampled_from(["..", ".", "", "data_docs", "toy", "%2e%2e", "~"])
NAMES = st.sampled_from(["secret.html", "page.html", "page.html\0.css", "..\\secret.html"])


class Place:
    """Settings, as far as reports need them."""

    def __init__(self, folder: Path) -> None:
        self.reports = UPath(folder / "reports")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("home")
    for folder in ("", "reports", "reports/toy", "reports/other/data_docs"):
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / "secret.html").write_text("secret")
    for name in ("data_docs", "drift"):
        (home / "reports" / "toy" / name).mkdir()
    (home / "reports" / "toy" / "data_docs" / "page.html").write_text("page")
    (home / "reports" / "toy" / "drift" / "2024-99-99_2024-01-05.html").write_text("page")
    return Place(home)


@given(folders=st.lists(PIECES, max_size=4), name=NAMES, kind=st.sampled_from([*KINDS, "..", "", "toy", "other"]))
@hypothesis_settings(max_examples=300)
def test_only_the_page_itself_is_ever_read(place: Any, folders: list[str], name: str, kind: str) -> None:
    parts = [*folders, name]
    try:
        assert read_report(place, "toy", kind, "/".join(parts)).content == b"page"
        assert (kind, parts) == ("data_docs", ["page.html"])
    except MissingInputError as error:
        assert "keeps no report" in str(error)


def test_reports_are_listed_with_the_days_in_their_names(place: Any) -> None:
    found = [(one.kind, one.path, one.last and str(one.last)) for one in kept_reports(place, "toy")]
    assert found == [("data_docs", "page.html", None), ("drift", "2024-99-99_2024-01-05.html", "2024-01-05")]
    assert kept_reports(place, "nobody") == []

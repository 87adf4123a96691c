"""The documentation's site: the published one, the built one for people who are logged in, or none."""

from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Toy
from tests.unit.plugins.page.conftest import Visit

from contrail.config.settings import settings
from contrail_airflow.page import documentation


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built site, with a file beside it that is none of it."""
    folder = tmp_path / "site" / "html"
    (folder / "docs").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Contrail</h1>")
    (folder / "docs" / "backfills.html").write_text("<h1>Backfills</h1>")
    (folder.parent / "secret.html").write_text("secret")
    (folder / "linked.html").symlink_to(folder.parent / "secret.html")
    monkeypatch.setattr(documentation, "site", lambda: folder)
    return folder


def test_the_built_site_is_served_to_who_is_logged_in(visit: Visit, toy_page: Toy, built: Path) -> None:
    assert visit("analyst").get("api/frame").json()["docs"] == "docs/"
    answer = visit("analyst").get("docs/docs/backfills.html")
    assert (answer.status_code, answer.text) == (200, "<h1>Backfills</h1>")
    assert visit("analyst").get("docs/").text == "<h1>Contrail</h1>"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert visit(None).get("docs/docs/backfills.html").status_code == 401


@pytest.mark.parametrize(
    "path",
    ["docs/nothing.html", "docs", "..%2Fsecret.html", "docs/..%2F..%2Fsecret.html", "linked.html", "%2Fetc%2Fpasswd"],
)
def test_what_is_no_page_of_the_site_is_not_there(path: str, visit: Visit, toy_page: Toy, built: Path) -> None:
    answer = visit("analyst").get(f"docs/{path}")
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace(path, "").replace("secret.html", "")


def test_without_a_site_there_are_no_links(
    visit: Visit, toy_page: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documentation, "site", lambda: tmp_path / "site")
    assert visit("analyst").get("api/frame").json()["docs"] == ""
    assert visit("analyst").get("docs/index.html").status_code == 404


@pytest.mark.parametrize("given", ["https://docs.example.org/contrail", "https://docs.example.org/contrail/"])
def test_a_published_site_goes_first(given: str, built: Path, home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    current = settings().model_copy(update={"docs_url": given})
    monkeypatch.setattr(documentation, "settings", lambda: current)
    assert documentation.address() == "https://docs.example.org/contrail/"


def test_an_address_of_the_site_is_one_of_the_web(home: Any) -> None:
    with pytest.raises(ValueError, match="docs_url"):
        type(settings()).model_validate({**settings().model_dump(), "docs_url": "javascript:alert(1)"})

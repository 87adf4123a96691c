import pyarrow as pa
import pytest

from contrail.reports.page import harmless, protected


def test_the_policy_comes_before_anything_that_could_run() -> None:
    page = protected("<!doctype html><html><head lang='en'><script>1</script></head></html>")
    assert page.index("Content-Security-Policy") < page.index("<script>")
    assert "default-src 'none'" in page
    assert "script-src" not in page, "none, as all that is not named"


def test_a_page_of_great_expectations_has_styles_that_need_no_network() -> None:
    page = protected("<html><head><link href='https://cdn/x.css'></head></html>", needs="styles of others")
    assert page.index("<style>") < page.index("<link"), "its own decide where they can be read"
    assert ".fa-check-circle::before" in page
    assert "<style>" not in protected("<html><head></head></html>")


def test_a_page_without_a_head_is_not_taken_for_protected() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        protected("<p>no head</p>")


def test_texts_cannot_open_a_tag_and_stay_apart() -> None:
    found = harmless(pa.chunked_array([["</script>", "a", None]]))
    assert found.to_pylist() == ["‹/script>", "a", None]

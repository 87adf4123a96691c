"""The page of keys is what the models say."""

from docs.make_keys import PAGE, page


def test_the_page_has_every_key_of_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_keys.py"


def test_every_key_has_a_meaning() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if not row.rstrip(" |").endswith((".", "…")) or "|  |" in row]
